"""Peak memory of a module: that of a fresh process that runs it, above what the process had taken before.

Run as a program it is such a process, which prints its peak resident memory in bytes: with all that is imported and
made before the module is loaded, and at the end. Its arguments are a JSON file of batches, and the module.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from marwright.errors import ExportError
from marwright.schemes import Texts

CALLS = 30
TEXTS = 16


def peak_memory_bytes(module: Path, texts: Texts) -> int | None:
    """Bytes of resident memory at the highest point, above that before the module is loaded.

    None where no system tells (all but Linux).

    Calls of 16 texts are cut from real ones, the longest first.

    Raises:
        ExportError: the module fails in a process of its own.
    """
    if not Path("/proc/self/status").is_file():
        return None
    longest = sorted(texts.rows, key=len, reverse=True)
    batches = [list(longest[at : at + TEXTS]) for at in range(0, len(longest), TEXTS)][:CALLS]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batches.json"
        file.write_text(json.dumps({"filler": texts.filler, "batches": batches}), encoding="utf-8")
        before, after = _peaks(file, module)
        return max(0, after - before)


def _peaks(batches: Path, module: Path) -> tuple[int, int]:
    command = [sys.executable, "-m", "marwright.explore.memory", str(batches), str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(f"{module}: fails in a process of its own: {reason}")
    before, after = map(int, done.stdout.split())
    return before, after


def main() -> None:
    """Run the batches of the command line's file through its module."""
    import torch

    from marwright import runtimes
    from marwright.pretrained.tokenization import padded

    torch.set_num_threads(1)
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    batches = [padded(batch, given["filler"]) for batch in given["batches"]]
    before = _own_peak()
    module = runtimes.load(Path(sys.argv[2]))
    with torch.inference_mode():
        for ids, mask in batches:
            module(ids, mask)
    sys.stdout.write(f"{before} {_own_peak()}\n")


def _own_peak() -> int:
    """The high-water mark of this process alone; that of ``getrusage`` may be its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
