"""What in an archive could execute code when it is served, and whether a person can read it."""

from __future__ import annotations

from pathlib import PurePosixPath

from marwright.checks.verify.contents import BY_SUFFIX, BYTECODE, LIBRARY, PYTHON, Contents
from marwright.checks.verify.operators import Operators
from marwright.checks.verify.report import Outcome, failed, passed, skipped
from marwright.checks.verify.subject import Subject

REQUIREMENTS = "packages: installed when the model is loaded, if install_py_dep_per_model=true"
_HOW = {
    PYTHON: "Python: the worker imports it",
    BYTECODE: "compiled Python: imported like source, and nobody can read it",
    LIBRARY: "machine code: loaded by whoever asks for it",
}


def no_pickles(subject: Subject) -> Outcome:
    """It has no pickle that could run anything."""
    said = [f"{name} imports {_some(one.imports)}" for name, one in subject.contents.items() if one.imports]
    for name, one in subject.contents.items():
        if one.unreadable:
            said.append(f"{name} could not be read to its end ({'; '.join(sorted(one.unreadable)[:2])})")
    if said:
        cure = "Save tensors alone (a state_dict, or safetensors) or TorchScript; a pickle runs what its maker wants."
        return failed("; ".join(said[:20]), cure)
    looked = f"{len(subject.contents)} files looked into, whatever their names"
    return passed(f"{looked}: no loader would import more than tensors need")


def torchscript(subject: Subject) -> Outcome:
    """Its TorchScript calls operators only that are known to be harmless."""
    files = {name: one.operators for name, one in subject.contents.items() if one.operators is not None}
    wrong = {name: one for name, one in files.items() if one.forbidden or one.unknown}
    if wrong:
        said = "; ".join(f"{name} {_said_of(one)}" for name, one in wrong.items())
        cure = "Its code is text, `unzip -p FILE '*.py'` shows it: read it, or build the module without them."
        return failed(said, cure)
    if not files:
        return skipped("there is none in it")
    known = set().union(*(one.known for one in files.values()))
    return passed(f"all {len(known)} operators that its code names are known to reach no file or machine")


def could_execute(subject: Subject) -> dict[str, str]:
    """Every file that could execute code, with how."""
    requirements = subject.model.get("requirementsFile")
    found = {name: _how(name, name == requirements, one) for name, one in subject.contents.items()}
    return {name: "; ".join(how) for name, how in found.items() if how}


def _how(name: str, is_requirements: bool, found: Contents) -> list[str]:
    path = PurePosixPath(name.lower())
    how, kind = [], BY_SUFFIX.get(path.suffix)
    if kind is not None:
        how.append(_HOW[kind])
    elif is_requirements or (path.name.startswith("requirements") and path.suffix == ".txt"):
        how.append(REQUIREMENTS)
    if found.operators is not None:
        how.append(f"TorchScript: {_said_of(found.operators)}")
    how += [f"holds {_HOW[inside]}" for inside in sorted(found.code - {kind})]
    if found.imports:
        how.append(f"a pickle that imports {', '.join(sorted(found.imports))}")
    if found.unreadable:
        how.append(f"could not be read to its end ({'; '.join(sorted(found.unreadable)[:3])})")
    return how


def _said_of(operators: Operators) -> str:
    if operators.forbidden:
        return f"calls {_some(operators.forbidden)}, which can reach files or other machines"
    if operators.unknown:
        return f"calls what is not known to be harmless: {_some(operators.unknown)}"
    return f"calls {len(operators.known)} operators, each known to open no file and no connection"


def _some(names: set[str]) -> str:
    shown = sorted(" ".join(name.split())[:80].replace("aten::", "torch.") for name in names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
