"""Peak memory of a module: that of a fresh process that runs it, above one that only imports what both need.

Run as a program it is such a process, which prints its peak resident memory in bytes. Its arguments are a JSON file of
batches, and the module, if there is one to run.
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
    """Bytes of resident memory at the highest point, above the baseline; none where no system tells (all but Linux).

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
        baseline = _peak(file)
        return max(0, _peak(file, module) - baseline)


def _peak(*arguments: Path) -> int:
    command = [sys.executable, "-m", "marwright.explore.memory", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(f"{arguments[-1]}: fails in a process of its own: {reason}")
    return int(done.stdout)


def main() -> None:
    """Run the batches of the command line's file through its module."""
    import torch

    from marwright import runtimes
    from marwright.pretrained.tokenization import padded

    torch.set_num_threads(1)
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    batches = [padded(batch, given["filler"]) for batch in given["batches"]]
    if len(sys.argv) > 2:
        module = runtimes.load(Path(sys.argv[2]))
        with torch.inference_mode():
            for ids, mask in batches:
                module(ids, mask)
    # The high-water mark of this process alone; that of ``getrusage`` may be its parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(f"{1024 * int(line.split()[1])}\n")


if __name__ == "__main__":
    main()
