"""What in an archive could execute code when it is served, and whether a person can read it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from marwright.verification.integrity import files_in
from marwright.verification.pickles import UNREADABLE, begins_as_pickle, begins_as_zip, names_beyond_tensors
from marwright.verification.report import Check, failed, passed

PYTHON = "Python: the worker imports it"
BYTECODE = "compiled Python: imported like source, and nobody can read it"
LIBRARY = "machine code: loaded by whoever asks for it"
REQUIREMENTS = "packages: installed when the model is loaded, if install_py_dep_per_model=true"
TORCHSCRIPT = "TorchScript: computes with tensors, calls nothing that reads or writes files"
_BY_SUFFIX = {
    ".py": PYTHON,
    ".pyc": BYTECODE,
    ".pyo": BYTECODE,
    ".so": LIBRARY,
    ".dll": LIBRARY,
    ".dylib": LIBRARY,
    ".pyd": LIBRARY,
}
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pth", ".pt", ".bin", ".joblib", ".ckpt")
# Built into PyTorch; operators of any other kind come with a library of somebody's own.
_OWN_OPERATORS = re.compile(r"\bops\.(?!(?:aten|prim|prims|quantized|onednn|mkldnn|_quantized|inductor)\b)(\w+\.\w+)")
_FILE_OPERATORS = re.compile(r"\b(torch\.(?:save|from_file)|ops\.aten\.(?:save|from_file))\(")


def code_in(folder: Path) -> tuple[Check, dict[str, str]]:
    """Look through an unpacked archive.

    Returns:
        whether it has no pickle that could run anything, and every file that could execute code with how.
    """
    could_execute: dict[str, str] = {}
    pickles: dict[str, list[str]] = {}
    for name in files_in(folder):
        file = folder / name
        if (how := _BY_SUFFIX.get(file.suffix.lower())) is not None:
            could_execute[name] = how
        elif file.name.startswith("requirements") and file.suffix == ".txt":
            could_execute[name] = REQUIREMENTS
        else:
            how, in_zip = _in_zip(file) if zipfile.is_zipfile(file) else ("", [])
            if how:
                could_execute[name] = how
            # A zip file may begin with a pickle: it is one to those who read from the start.
            if imported := sorted({*in_zip, *_pickle_imports(file)}):
                pickles[name] = imported
    could_execute |= {name: f"a pickle that imports {', '.join(imported)}" for name, imported in pickles.items()}
    return _verdict(pickles), dict(sorted(could_execute.items()))


def _verdict(pickles: dict[str, list[str]]) -> Check:
    name = "no pickles"
    if not pickles:
        return passed(name, "nothing in it is unpickled beyond plain tensors")
    said = "; ".join(f"{file} imports {', '.join(imported[:5])}" for file, imported in pickles.items())
    cure = "Save tensors alone (a state_dict, or safetensors) or TorchScript; a pickle runs what its maker wants."
    return failed(name, said, cure)


def _in_zip(file: Path) -> tuple[str, list[str]]:
    """How a zip file inside the archive could execute code, and what its pickles import.

    TorchScript has code and ``constants.pkl``, and ``torch.jit.load`` has a reader of its own for its pickles, which
    only makes objects of classes in that code. Without them it is a file of ``torch.save``, which Python unpickles.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                code = [archive.read(name).decode(errors="replace") for name in names if name.endswith(".py")]
                return _torchscript("\n".join(code)), []
            pickles = [name for name in names if name.endswith(".pkl")]
            return "", sorted({found for name in pickles for found in names_beyond_tensors(archive.read(name))})
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        return f"a zip file that cannot be read: {error}", []


def _torchscript(code: str) -> str:
    files = sorted(set(_FILE_OPERATORS.findall(code)))
    own = sorted(set(_OWN_OPERATORS.findall(code)))
    if files:
        return f"TorchScript: calls {', '.join(files)}, which reads or writes files"
    return f"TorchScript: calls operators of libraries of its own: {', '.join(own)}" if own else TORCHSCRIPT


def _pickle_imports(file: Path) -> list[str]:
    """What a file imports if it is a pickle; those of the oldest protocols have no mark, only a customary name."""
    marked = begins_as_pickle(file)
    if begins_as_zip(file) or (not marked and file.suffix.lower() not in _PICKLE_SUFFIXES):
        return []
    return [name for name in names_beyond_tensors(file.read_bytes()) if marked or name != UNREADABLE]
