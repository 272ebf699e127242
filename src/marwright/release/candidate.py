"""The version that an archive would bring onto a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from marwright.errors import ArchiveError
from marwright.mar.golden import GoldenRequest, golden_of
from marwright.mar.reading import describe
from marwright.mar.training_digests import TrainingDigests
from marwright.release.snapshot import Snapshot
from marwright.tasks import SINGLE_LABEL, TASKS, Task

# A model's name and version become part of a path and of a file's name, in an archive that anybody may have made.
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][\w.+]*", re.ASCII)  # without the hyphen that divides the two


@dataclass(frozen=True)
class Candidate:
    """A model's new version, its golden requests, and the texts that are sent to it in the trial."""

    snapshot: Snapshot
    model: str
    version: str
    golden: Sequence[GoldenRequest]
    texts: Sequence[str]

    @classmethod
    def read(cls, snapshot: Snapshot, texts: Sequence[str]) -> Candidate:
        """Read an archive; without ``texts`` those of its golden requests are sent.

        Raises:
            ArchiveError: it cannot be read, its name or version cannot be part of a path, or there are no texts.
        """
        archive, model = snapshot.origin, describe(snapshot.file)["manifest"]["model"]
        name, version = model["modelName"], str(model.get("modelVersion") or "1.0")
        for what, written, pattern in (("name", name, _NAME), ("version", version, _VERSION)):
            if not pattern.fullmatch(written) or ".." in written:
                raise ArchiveError(
                    f"{archive}: {written!r} cannot be a model's {what} here, since it becomes part of a file's name: "
                    f"letters, digits and dots. Build it again with another."
                )
        golden = golden_of(snapshot.file)
        texts = texts or [request.text for request in golden]
        if not texts:
            raise ArchiveError(f"{archive} has no golden requests to take texts from: give --texts FILE.")
        return cls(snapshot, name, version, golden, texts)

    def __str__(self) -> str:
        return f"{self.model} {self.version}"

    @property
    def task(self) -> Task:
        """What its archive says is asked of a text; that is one label unless it says otherwise."""
        setup = describe(self.snapshot.file)["setup"]
        name = setup.get("task") if isinstance(setup, dict) else None
        return TASKS.get(str(name), TASKS[SINGLE_LABEL])

    def trained_on(self) -> list[bool] | None:
        """On which of the texts the model was trained; ``None`` if its archive does not tell."""
        digests = TrainingDigests.in_archive(self.snapshot.file)
        return digests.recognise(self.texts) if digests is not None else None
