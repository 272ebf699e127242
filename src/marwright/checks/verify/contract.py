"""Whether a handler can be imported and is what TorchServe wants one to be."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from marwright.checks.verify.report import Outcome, failed, passed
from marwright.checks.verify.shipped_handlers import install_command, missing_modules
from marwright.checks.verify.subject import NotThere, Subject
from marwright.mar.worker import TIMEOUT_S, environment_for, tail_of
from marwright.processes.child import child


def handler_imports(subject: Subject) -> Outcome:
    """A fresh process with only the archive on its path can import it."""
    handler = subject.model["handler"]
    with tempfile.TemporaryDirectory(prefix="marwright-") as private:
        found = _probed(subject.folder, handler, Path(private) / "findings.json")
    if "error" in found:
        return _import_failure(found, handler)
    subject.handler = found
    return passed(f"{handler}, in a process of its own")


def handler_contract(subject: Subject) -> Outcome:
    """It defines what TorchServe wants."""
    found = subject.handler
    if not found:
        raise NotThere("it cannot be imported")
    if "function" in found:
        outcome = passed(f"a function {found['function']}(data, context)")
    elif len(classes := found["classes"]) != 1:
        function = found["no_function"]
        detail = f"it defines {len(classes)} classes ({', '.join(classes) or 'none'}) and no function {function}"
        cure = (
            f"Define one class, or a function {function}(data, context); import other classes from a module of their "
            f"own. A function of another name is named in the manifest, as FILE.py:FUNCTION."
        )
        return failed(f"{detail}; TorchServe wants exactly one class", cure)
    elif found["lacks"]:
        lacks = " and ".join(found["lacks"])
        return failed(f"class {classes[0]} has no {lacks}", "Derive it from BaseHandler, or write them.")
    else:
        outcome = passed(f"one class, {classes[0]}, with initialize and handle")
    subject.can_be_served = True
    return outcome


def _probed(folder: Path, handler: str, findings: Path) -> dict[str, Any]:
    program = Path(__file__).with_name("probe.py")
    # -P: the folder of the probe must not be on the path.
    command = [sys.executable, "-P", "-B", str(program), handler, str(findings)]
    # Into a file: a pipe stays open as long as anything that the handler has started.
    errors = findings.with_name("errors.log")
    with (
        errors.open("wb") as output,
        child(command, cwd=folder, environment=environment_for(folder), output=output) as process,
    ):
        try:
            ended = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return {"error": f"still importing after {TIMEOUT_S} s"}
    try:
        found: dict[str, Any] = json.loads(findings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last = tail_of(errors).strip().splitlines()[-1:]
        return {"error": f"the process ended with {ended} {' '.join(last)}".strip()}
    return found


def _import_failure(found: dict[str, Any], handler: str) -> Outcome:
    where = f"{found['file']}:{found['line']}: " if "file" in found else ""
    missing = found.get("missing")
    if missing and missing.startswith("ts.torch_handler."):
        detail = f"{handler} is neither a file in the archive nor a handler of TorchServe's own"
        return failed(detail, "Pack the file, and name it with --handler FILE.py.")
    if missing and (lacking := missing_modules(handler)):
        detail = f"TorchServe's {handler} imports {' and '.join(lacking)}, not installed here"
        return failed(detail, f"In TorchServe's environment: {install_command(lacking)}")
    if missing:
        module = missing.partition(".")[0]
        detail = f"{_importer(found, handler)} imports {missing}, which is neither in the archive nor installed here"
        cure = f"Install {module} in TorchServe's environment, or pack it with --extra-files if it is yours."
        return failed(detail, cure)
    where_from, beside = (
        ("", " beside its files") if handler.partition(":")[0].endswith(".py") else ("ts.torch_handler.", "")
    )
    return failed(
        where + " ".join(found["error"].split()),
        f"Make `python -c 'import {where_from}{Path(handler).stem}'` work{beside}.",
    )


def _importer(found: dict[str, Any], handler: str) -> str:
    # The last frame of a missing module is inside Python's own machinery.
    file = str(found.get("file", ""))
    return file if file.endswith(".py") else handler
