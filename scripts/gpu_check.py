"""Checks and times an archive on a GPU, all in one go and in ten minutes, for anybody who has one.

    python scripts/gpu_check.py model_store/banking77.mar --config configs/banking77.yaml

- does the GPU's module answer as the student does in float32, and as the CPU's does in int8, from the same file?
- which CUDA graphs answer as the module does, and how much memory do they take?
- how long does the handler take from texts to JSON, beside Hugging Face's module, ONNX Runtime and torch.compile?
- does a real TorchServe keep a promise at a rate, and up to which rate?

Each part runs in a process of its own, for no longer than it may: one that fails or cannot run says why, and the others
go on. The report is report.md and report.json in a folder, with what each part said beside it.

Without --config there are no test rows, no float32 and no rivals: the archive's golden requests are asked. It needs
marwright, torch and a run of the configuration; nothing is downloaded. --device cpu rehearses it where no GPU is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch

from gpu.parts import PARTS
from gpu.report import markdown
from gpu.subject import LeftOutError, device_named, opened
from marwright.console.progress import say, waiting
from marwright.errors import MarwrightError
from marwright.files import read_json, stable_json, write_text
from marwright.processes.child import child

MINUTES = sum(part.seconds for part in PARTS.values()) / 60
# For a server to be stopped after its part's time is over.
GRACE_S = 20
FAILED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, print and write what was found; exit with 1 if a part failed or took too long."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser().parse_args(words)
    try:
        if given.part is not None:
            _one_part(given)
            return
        report = check(given, words)
    except MarwrightError as error:
        say(f"gpu_check: {error}")
        sys.exit(error.exit_code)
    sys.stdout.write(markdown(report))
    say(f"{given.output / 'report.md'} and report.json are written")
    if any(each["state"] in ("failed", "out of time") for each in report["parts"].values()):
        sys.exit(FAILED)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("archive", type=Path)
    made.add_argument("--config", help="of the archive's run, for test rows, float32 and rivals")
    made.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu [cuda]")
    made.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} [all]")
    made.add_argument("--minutes", type=float, default=MINUTES, help=f"for all parts together [{MINUTES:g}]")
    made.add_argument("--calls", type=int, default=2000, help="most calls that are timed for each batch [2000]")
    made.add_argument("--rate", type=float, default=1500, help="requests per second that are offered first [1500]")
    made.add_argument("--sla-ms", type=float, default=10, help="what 99 of 100 answers must keep [10]")
    made.add_argument("--seconds", type=float, default=10, help="that each rate is held [10]")
    made.add_argument("--output", type=Path, default=Path("gpu_check"), metavar="FOLDER")
    made.add_argument("--part", help=argparse.SUPPRESS)
    made.add_argument("--seconds-left", type=float, default=0, help=argparse.SUPPRESS)
    return made


def check(given: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """Run every part that was asked for. What is known is in the files already when something later fails.

    Raises:
        MarwrightError: there is no such archive, device, run or part.
    """
    names = [name for name in given.parts.split(",") if name]
    if unknown := [name for name in names if name not in PARTS]:
        raise MarwrightError(f"--parts: no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    device = device_named(given.device)
    with opened(given, 0):
        given.output.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "archive": str(given.archive),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU",
        "on_a_gpu": device.type == "cuda",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": {},
    }
    for name in names:
        seconds = PARTS[name].seconds * given.minutes / MINUTES
        with waiting(f"{name}: {PARTS[name].about} (at most {seconds:.0f} s)"):
            found = _in_its_own_process(name, words, given.output, seconds)
        report["parts"][name] = found
        say(f"{name}: {found['state']} in {found['seconds']} s" + (f": {found['why']}" if "why" in found else ""))
        write_text(given.output / "report.json", stable_json(report))
        write_text(given.output / "report.md", markdown(report))
    return report


def _in_its_own_process(name: str, words: Sequence[str], folder: Path, seconds: float) -> dict[str, Any]:
    """A part cannot harm the others: not by a lasting error of the GPU, not by its memory, not by its time."""
    result, log = folder / f"{name}.json", folder / f"{name}.log"
    result.unlink(missing_ok=True)
    began = time.monotonic()
    with (
        log.open("wb") as said,
        child(_command(name, words, seconds), cwd=Path.cwd(), environment=dict(os.environ), output=said) as process,
    ):
        try:
            code = process.wait(seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            why = f"it was not done after {seconds:.0f} s; {log} says how far it came"
            found = {"state": "out of time", "why": why}
        else:
            found = _found(result, code, log)
    return found | {"seconds": round(time.monotonic() - began, 1)}


def _command(name: str, words: Sequence[str], seconds: float) -> list[str]:
    return [sys.executable, __file__, *words, "--part", name, "--seconds-left", str(seconds)]


def _found(result: Path, code: int, log: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(result)
    except (OSError, ValueError):
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return {"state": "failed", "why": f"its process ended with {code}: {''.join(last)[:200]} ({log})"}
    result.unlink()
    return found


def _one_part(given: argparse.Namespace) -> None:
    """Run a part in this process, and write what it found."""
    try:
        with opened(given, given.seconds_left) as subject:
            found = {"state": "done", "found": PARTS[given.part].work(subject)}
    except LeftOutError as error:
        found = {"state": "left out", "why": str(error)}
    # Whatever it is, the other parts are still wanted, and the report says it.
    except Exception as error:
        traceback.print_exc()
        first = str(error).strip().partition("\n")[0]
        found = {"state": "failed", "why": f"{type(error).__name__}: {first}"}
    write_text(given.output / f"{given.part}.json", json.dumps(found))


if __name__ == "__main__":
    main()
