"""What in an archive could execute code when it is served, and whether a person can read it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from marwright.verification.integrity import files_in
from marwright.verification.pickles import UNREADABLE, begins_as_pickle, begins_as_zip, names_beyond_tensors, start_of
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
# Linux and macOS; a library may have any name.
_MACHINE_CODE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pth", ".pt", ".joblib", ".ckpt")
# Pickles to PyTorch, plain numbers to many others.
_PERHAPS_PICKLE_SUFFIXES = (".bin",)
# What PyTorch's own reader makes of a TorchScript file: its classes, and lists of plain values.
_OF_TORCHSCRIPT = ("__torch__.", "torch.jit._pickle.")
# More than any code or pickle in a zip file that is not made to fill the memory.
_LARGEST_READ = 1 << 28
# Built into PyTorch; operators of any other kind come with a library of somebody's own.
_OWN_OPERATORS = re.compile(r"\bops\.(?!(?:aten|prim|prims|quantized|onednn|mkldnn|_quantized|inductor)\b)(\w+\.\w+)")
_FILE_OPERATORS = re.compile(r"\b(torch\.(?:save|from_file)|ops\.aten\.(?:save|from_file))\b")


def code_in(folder: Path, requirements: str | None = None) -> tuple[Check, dict[str, str]]:
    """Look through an unpacked archive.

    Args:
        folder: where it is.
        requirements: the file of packages that its manifest names.

    Returns:
        whether it has no pickle that could run anything, and every file that could execute code with how.
    """
    could_execute: dict[str, str] = {}
    pickles: dict[str, list[str]] = {}
    for name in files_in(folder):
        file = folder / name
        how, in_zip = _in_zip(file) if zipfile.is_zipfile(file) else ("", [])
        if how := how or _by_name(file, name == requirements):
            could_execute[name] = how
        # A zip file may begin with a pickle: it is one to those who read from the start.
        if imported := sorted({*in_zip, *_pickle_imports(file)}):
            pickles[name] = imported
    could_execute |= {name: f"a pickle that imports {', '.join(imported)}" for name, imported in pickles.items()}
    return _verdict(pickles), dict(sorted(could_execute.items()))


def _by_name(file: Path, named_in_manifest: bool) -> str:
    if (how := _BY_SUFFIX.get(file.suffix.lower())) is not None:
        return how
    if named_in_manifest or (file.name.startswith("requirements") and file.suffix == ".txt"):
        return REQUIREMENTS
    return LIBRARY if start_of(file) in _MACHINE_CODE else ""


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
            # PyTorch takes the folder of the first file for the one that counts.
            is_torchscript = names[:1] and f"{names[0].partition('/')[0]}/constants.pkl" in names
            found = {
                one for name in names if name.endswith(".pkl") for one in names_beyond_tensors(_read(archive, name))
            }
            if is_torchscript:
                code = [_read(archive, name).decode(errors="replace") for name in names if name.endswith(".py")]
                return _torchscript("\n".join(code)), [one for one in found if not one.startswith(_OF_TORCHSCRIPT)]
            kinds = {_BY_SUFFIX.get(Path(name).suffix.lower(), "") for name in names} - {""}
            return "; ".join(f"a zip file of {how}" for how in sorted(kinds)), sorted(found)
    except Exception:  # whatever a malformed zip file raises
        return "", [UNREADABLE]


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST_READ:
        raise ValueError(name)
    return archive.read(name)


def _torchscript(code: str) -> str:
    # Blanks and comments may stand between the parts of a name.
    code = "\n".join(re.sub(r"\s*\.\s*", ".", text) for text in (code, re.sub("#.*", "", code)))
    files = sorted(set(_FILE_OPERATORS.findall(code)))
    own = sorted(set(_OWN_OPERATORS.findall(code)))
    if files:
        return f"TorchScript: calls {', '.join(files)}, which reads or writes files"
    return f"TorchScript: calls operators of libraries of its own: {', '.join(own)}" if own else TORCHSCRIPT


def _pickle_imports(file: Path) -> list[str]:
    """What a file imports if it is a pickle; those of the oldest protocols have no mark, only a customary name."""
    suffix = file.suffix.lower()
    certain = begins_as_pickle(file) or suffix in _PICKLE_SUFFIXES
    if begins_as_zip(file) or not (certain or suffix in _PERHAPS_PICKLE_SUFFIXES):
        return []
    return [name for name in names_beyond_tensors(file.read_bytes()) if certain or name != UNREADABLE]
