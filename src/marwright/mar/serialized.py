"""What a serialized module is: by its bytes, not by its name."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from marwright.errors import ArchiveError

Kind = Literal["torchscript", "weights", "onnx", "other"]


def kind_of(file: Path) -> Kind:
    """Look into a module's file; nothing of it is run.

    Returns:
        ``torchscript``; ``weights``, which a class in Python must take; ``onnx``; or ``other``, of which nothing is
        known.

    Raises:
        ArchiveError: it cannot be read, or is not what its name says.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(2)
    except OSError as error:
        raise ArchiveError(f"{file}: cannot be read: {error.strerror or error}") from error
    match file.suffix.lower():
        case ".pt" | ".pth":
            return _kind_of_torch(file, start)
        case ".onnx":
            _check_onnx(file)
            return "onnx"
    return "other"


def _kind_of_torch(file: Path, start: bytes) -> Kind:
    # torch.save wrote bare pickles before PyTorch 1.6.
    if start[:1] == b"\x80":
        return "weights"
    try:
        with zipfile.ZipFile(file) as archive:
            names = [Path(name).name for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise ArchiveError(
            f"{file}: neither TorchScript nor what torch.save writes ({error}). "
            "Save it with torch.jit.save, or rename it."
        ) from error
    if "constants.pkl" in names:
        return "torchscript"
    if "data.pkl" in names:
        return "weights"
    raise ArchiveError(f"{file}: a zip file, but neither TorchScript nor what torch.save writes. Rename it.")


def _check_onnx(file: Path) -> None:
    try:
        import onnx
    except ImportError:
        raise ArchiveError(f"{file}: cannot be checked without the package onnx: pip install onnx") from None
    try:
        onnx.checker.check_model(str(file))
    except Exception as error:  # protobuf's own errors come through as they are
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArchiveError(f"{file}: not valid ONNX: {reason}. Export it again, or rename it.") from error
