"""Packs any module with any handler, as torch-model-archiver does, but checked, hashed and reproducible."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marwright.checks.verify import verify
from marwright.checks.verify.report import Report
from marwright.checks.verify.verify import IMPORT, WORKER
from marwright.errors import ArchiveError
from marwright.mar.serialized import kind_of
from marwright.mar.writing import Contents, Manifest, packed

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")


@dataclass(frozen=True)
class Package:
    """What goes into an archive, by the names that torch-model-archiver gives its options."""

    name: str
    version: str
    handler: str
    """A Python file, ``FILE.py:FUNCTION``, or one of TorchServe's own such as ``image_classifier``."""
    serialized_file: Path
    model_file: Path | None = None
    """The class that weights are loaded into."""
    extra_files: Sequence[Path] = ()
    requirements_file: Path | None = None
    config_file: Path | None = None


def package(wanted: Package, folder: Path, *, force: bool = False, run: bool = True) -> Report:
    """Write ``folder/NAME.mar``, once every check of an archive holds.

    The modules beside the handler that it imports are packed with it.

    Args:
        wanted: what goes into it.
        folder: where it goes.
        force: replace an archive that is there.
        run: import the handler and start a worker too; without it the archive may be for another machine.

    Returns:
        what was checked.

    Raises:
        ArchiveError: an input is missing, is not what it says it is or shares its name with another one; the archive
            is there already; or a check fails. Nothing is written then.
    """
    if not NAME.fullmatch(wanted.name):
        raise ArchiveError(f"--name {wanted.name}: use letters, digits, - and _ only; it becomes a part of the URL.")
    if not VERSION.fullmatch(wanted.version):
        raise ArchiveError(f"--version {wanted.version}: use numbers with dots between them, such as 1.0.")
    file = folder / f"{wanted.name}.mar"
    if file.exists() and not force:
        raise ArchiveError(f"{file}: there is one already; --force replaces it.")
    manifest = Manifest(
        name=wanted.name,
        version=wanted.version,
        handler=_in_manifest(wanted.handler),
        module=wanted.serialized_file.name,
        model_file=_name(wanted.model_file),
        requirements=_name(wanted.requirements_file),
        config=_name(wanted.config_file),
    )
    try:
        with packed(_contents(wanted), file, manifest) as partial:
            report = verify(partial, run=run)
            _check(report, partial, file)
    except OSError as error:
        raise ArchiveError(f"{file}: cannot be written: {error.strerror or error}") from error
    return report


def _contents(wanted: Package) -> Contents:
    contents = Contents()
    own = _handler_file(wanted.handler)
    kind = kind_of(wanted.serialized_file)
    if own is None and kind == "weights" and wanted.model_file is None:
        raise ArchiveError(
            f"{wanted.serialized_file}: weights, not TorchScript. Give their class with --model-file FILE.py, or save "
            "the module with torch.jit.save."
        )
    contents.add(wanted.serialized_file.name, wanted.serialized_file)
    for file in (wanted.model_file, wanted.requirements_file, wanted.config_file, *wanted.extra_files):
        if file is not None:
            contents.add(file.name, file)
    if own is not None:
        contents.add_handler(own, given=wanted.extra_files)
    return contents


def _handler_file(handler: str) -> Path | None:
    """The file of a handler; none if it is one of TorchServe's own.

    Raises:
        ArchiveError: it is neither.
    """
    from model_archiver.model_packaging_utils import model_handlers

    file = Path(handler.partition(":")[0])
    if file.suffix == ".py":
        return file
    if handler in model_handlers:
        return None
    raise ArchiveError(
        f"--handler {handler}: neither a Python file nor one of TorchServe's own: {', '.join(sorted(model_handlers))}"
    )


def _in_manifest(handler: str) -> str:
    file, colon, function = handler.partition(":")
    return f"{Path(file).name}{colon}{function}"


def _name(file: Path | None) -> str | None:
    return None if file is None else file.name


def _check(report: Report, partial: Path, file: Path) -> None:
    wrong = report.failures
    if not wrong:
        return
    said = "; ".join(f"{check.name}: {check.detail}" for check in wrong).replace(partial.name, file.name)
    hint = (
        ", or pack it for another machine with --no-run" if {IMPORT, WORKER} & {check.name for check in wrong} else ""
    )
    raise ArchiveError(f"{file} is not written. {said}\n{wrong[0].cure.removesuffix('.')}{hint}.")
