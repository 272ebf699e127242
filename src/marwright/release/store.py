"""The archives of one model in the model store: the one that a restart serves, and others beside it, hidden.

TorchServe loads every visible archive and folder of the store when it starts, and of two versions of a model makes
whichever it meets first the default. So only the version that is meant lies there in sight, as ``NAME.mar``. The others
are ``.NAME-VERSION.mar``, and ``.NAME-VERSION/`` is what one is registered from: hidden files are not loaded at a
start, but can be registered by name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marwright.errors import ArchiveError, ServerError
from marwright.files import link_file, move_folder_into_place, read_json, replacing, sha256_of, stable_json, write_text
from marwright.mar.reading import describe, unpacked
from marwright.mar.signing import signature_of
from marwright.processes.locking import locked


class Store:
    """One model's part of a model store.

    Whoever asks what is in sight gets a ``ServerError`` where there are two archives of this model.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model = folder, model

    def archive(self, version: str) -> Path:
        """Where the archive of a version lies hidden."""
        return self.folder / f".{self.model}-{version}.mar"

    def unpacked(self, version: str) -> Path:
        """Where a version lies unpacked while it is registered."""
        return self.folder / f".{self.model}-{version}"

    def in_sight(self) -> Path:
        """The archive that a restart serves, or where it would lie."""
        found = []
        for file in sorted(self.folder.glob("[!.]*.mar")):
            with suppress(ArchiveError):
                if describe(file)["manifest"]["model"]["modelName"] == self.model:
                    found.append(file)
        if len(found) > 1:
            raise ServerError(
                f"{self.folder} has {len(found)} archives of {self.model}: {', '.join(file.name for file in found)}. "
                f"A restart would serve either; take all but the one it serves now out of the store."
            )
        return found[0] if found else self.folder / f"{self.model}.mar"

    def version_in_sight(self) -> str | None:
        """The version that a restart serves, ``None`` if there is none in the store."""
        with suppress(ArchiveError):
            return str(describe(self.in_sight())["manifest"]["model"].get("modelVersion") or "1.0")
        return None

    def archive_of(self, version: str) -> Path | None:
        """The archive of a version, in sight or hidden; ``None`` if the store has none."""
        if self.version_in_sight() == version:
            return self.in_sight()
        return kept if (kept := self.archive(version)).is_file() else None

    def keep(self, archive: Path, version: str, digest: str) -> None:
        """Copy an archive and its signature into the store, hidden; the hex SHA-256 of the copy must be ``digest``.

        Raises:
            ArchiveError: it is another file by now, or cannot be copied.
        """
        kept = self.archive(version)
        try:
            with replacing(kept) as partial:
                shutil.copyfile(archive, partial)
                if sha256_of(partial) != digest:
                    raise ArchiveError(f"{archive}: it changed while it was checked. Start again when it is finished.")
            if signature_of(archive).is_file():
                shutil.copyfile(signature_of(archive), signature_of(kept))
            else:
                signature_of(kept).unlink(missing_ok=True)  # of the archive that lay there before
        except OSError as error:
            raise ArchiveError(f"{archive}: cannot be copied into {self.folder}: {error}.") from error

    def take_in(self, archive: Path, version: str, digest: str) -> str:
        """Keep an archive as :meth:`keep` does, and unpack it in the store.

        Returns:
            the name to register it by.

        Raises:
            ArchiveError: it is another file by now, or cannot be copied.
        """
        self.keep(archive, version, digest)
        folder = self.unpacked(version)
        try:
            partial_folder = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial_folder, ignore_errors=True)
            # Not the copy in the store, which others may be able to write.
            with unpacked(archive) as private:
                shutil.copytree(private, partial_folder)
            # A temporary folder is its owner's alone; the server may run as somebody else.
            partial_folder.chmod(0o755)
            move_folder_into_place(partial_folder, folder)
        except OSError as error:
            raise ArchiveError(f"{archive}: cannot be copied into {self.folder}: {error}.") from error
        return folder.name

    def put_in_sight(self, version: str) -> Path | None:
        """Have a restart serve this version, and keep the archive it would have served, hidden.

        At every moment there is one archive in sight, the old or the new, whole.

        Returns:
            the archive in sight; ``None`` if the store has none of this version, and nothing was changed.
        """
        there, kept = self.in_sight(), self.archive(version)
        of_there = self.version_in_sight()
        already = of_there == version
        if not kept.is_file():
            return there if already else None
        if of_there is not None and not already:
            _also_as(there, self.archive(of_there))
        kept.replace(there)
        if signature_of(kept).is_file():
            signature_of(kept).replace(signature_of(there))
        else:
            signature_of(there).unlink(missing_ok=True)
        return there

    def clear_away(self, version: str, *, but: Path | None = None) -> None:
        """Remove what is hidden of a version that is not registered any more, except the file ``but``."""
        shutil.rmtree(self.unpacked(version), ignore_errors=True)
        kept = self.archive(version)
        if but is None or but.resolve() != kept.resolve():
            for file in (kept, signature_of(kept)):
                file.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time change which versions are served from this store.

        Raises:
            ServerError: another one does.
        """
        taken = (
            f"Another rollout, rollback or retirement is at work on {self.folder}: wait until it is done. "
            f"Ctrl-C ends a rollout, and the old version answers on."
        )
        with locked(self.folder / ".rollout.lock", taken, keep=False, error=ServerError):
            yield

    # --- which version came before ---------------------------------------------------------------------------------

    @property
    def _record(self) -> Path:
        return self.folder / f".{self.model}-rollout.json"

    def remember(self, *, previous: str, current: str) -> None:
        """Note which version a rollout replaces by which, so that it can be turned back."""
        write_text(self._record, stable_json({"previous": previous, "current": current}))

    def recall(self) -> tuple[str, str] | None:
        """The previous and the current version of the last rollout; ``None`` if there is none to turn back."""
        try:
            noted = read_json(self._record)
            return str(noted["previous"]), str(noted["current"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def forget(self) -> None:
        """Note that there is nothing to turn back any more."""
        self._record.unlink(missing_ok=True)


def _also_as(archive: Path, other: Path) -> None:
    """Give an archive and its signature a second name; a copy where the disk has no links."""
    for source, target in ((archive, other), (signature_of(archive), signature_of(other))):
        target.unlink(missing_ok=True)
        if source.is_file():
            link_file(source, target)
