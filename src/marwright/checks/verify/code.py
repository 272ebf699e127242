"""What in an archive could execute code when it is served, and whether a person can read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from marwright.checks.budget import Budget
from marwright.checks.verify.contents import BY_SUFFIX, BYTECODE, LIBRARY, PYTHON, Contents, look_into
from marwright.checks.verify.integrity import files_in
from marwright.checks.verify.operators import Operators
from marwright.checks.verify.report import Check, failed, passed, skipped

PICKLES, TORCHSCRIPT = "no pickles", "TorchScript"
REQUIREMENTS = "packages: installed when the model is loaded, if install_py_dep_per_model=true"
_HOW = {
    PYTHON: "Python: the worker imports it",
    BYTECODE: "compiled Python: imported like source, and nobody can read it",
    LIBRARY: "machine code: loaded by whoever asks for it",
}


def code_in(folder: Path, budget: Budget, requirements: str | None = None) -> tuple[list[Check], dict[str, str]]:
    """Look through an unpacked archive.

    Args:
        folder: where it is.
        budget: what may be spent on all of it; what is beyond that counts as unreadable.
        requirements: the file of packages that its manifest names.

    Returns:
        whether it has no pickle that could run anything, whether its TorchScript calls known operators only, and every
        file that could execute code with how.
    """
    could_execute: dict[str, str] = {}
    all_found: dict[str, Contents] = {}
    for name in files_in(folder):
        with (folder / name).open("rb") as stream:
            found = all_found[name] = look_into(stream, name, budget)
        how = [*_by_name(folder / name, name == requirements, found), *_by_contents(found)]
        if how:
            could_execute[name] = "; ".join(how)
    return [_pickles(all_found), _torchscript(all_found)], could_execute


def _by_name(file: Path, named_in_manifest: bool, found: Contents) -> list[str]:
    if (kind := BY_SUFFIX.get(file.suffix.lower())) is not None:
        found.code.discard(kind)
        return [_HOW[kind]]
    if named_in_manifest or (file.name.lower().startswith("requirements") and file.suffix.lower() == ".txt"):
        return [REQUIREMENTS]
    return []


def _by_contents(found: Contents) -> list[str]:
    how = []
    if found.operators is not None:
        how.append(f"TorchScript: {_said_of(found.operators)}")
    how += [f"holds {_HOW[kind]}" for kind in sorted(found.code)]
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


def _pickles(found: Mapping[str, Contents]) -> Check:
    imports = {name: _some(one.imports) for name, one in found.items() if one.imports}
    unreadable = {name: "; ".join(sorted(one.unreadable)[:2]) for name, one in found.items() if one.unreadable}
    if not imports and not unreadable:
        detail = f"{len(found)} files looked into, whatever their names: no loader would import more than tensors need"
        return passed(PICKLES, detail)
    said = [f"{name} imports {what}" for name, what in imports.items()]
    said += [f"{name} could not be read to its end ({why})" for name, why in unreadable.items()]
    cure = "Save tensors alone (a state_dict, or safetensors) or TorchScript; a pickle runs what its maker wants."
    return failed(PICKLES, "; ".join(said[:20]), cure)


def _torchscript(found: Mapping[str, Contents]) -> Check:
    files = {name: one.operators for name, one in found.items() if one.operators is not None}
    wrong = {name: one for name, one in files.items() if one.forbidden or one.unknown}
    if wrong:
        said = "; ".join(f"{name} {_said_of(one)}" for name, one in wrong.items())
        cure = "Its code is text, `unzip -p FILE '*.py'` shows it: read it, or build the module without them."
        return failed(TORCHSCRIPT, said, cure)
    if not files:
        return skipped(TORCHSCRIPT, "there is none in it")
    known = set().union(*(one.known for one in files.values()))
    return passed(TORCHSCRIPT, f"all {len(known)} operators that its code names are known to reach no file or machine")


def _some(names: set[str]) -> str:
    shown = sorted(" ".join(name.split())[:80].replace("aten::", "torch.") for name in names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
