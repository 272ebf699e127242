"""Run as a process of its own: prints its peak resident memory in bytes, with a module at work or without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from marwright import runtimes
from marwright.pretrained.tokenization import padded


def main() -> None:
    """Arguments: a JSON file of batches, and the module, if there is one to run."""
    torch.set_num_threads(1)
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    batches = [padded(batch, given["filler"]) for batch in given["batches"]]
    if len(sys.argv) > 2:
        module = runtimes.load(Path(sys.argv[2]))
        with torch.inference_mode():
            for ids, mask in batches:
                module(ids, mask)
    sys.stdout.write(f"{_peak_bytes()}\n")


def _peak_bytes() -> int:
    """The high-water mark of this process alone; that of ``getrusage`` may be its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
