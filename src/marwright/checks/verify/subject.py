"""What is checked: an unpacked archive, and what its checks find out for those that come after."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from marwright.checks.budget import Budget
from marwright.checks.verify.contents import Contents, look_into
from marwright.mar import golden, layout
from marwright.mar.golden import GoldenRequest
from marwright.mar.reading import description_in
from marwright.mar.worker import ArchiveWorker, started


class NotThere(Exception):
    """What a check needs is not there; the message says why the check is skipped."""


class Subject:
    """An unpacked archive.

    ``file`` is the archive, for messages; ``files`` are the names in ``folder``, sorted. Checks fill in ``model`` (what
    a good manifest says of it), ``handler`` (what it defines) and ``can_be_served``; ``stack`` ends what they start.
    Whatever is asked for and is not there raises :class:`NotThere`.
    """

    def __init__(self, file: Path, folder: Path, stack: ExitStack) -> None:
        self.file, self.folder = file, folder
        self.files = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
        self.model: dict[str, Any] = {}
        self.handler: dict[str, Any] = {}
        self.can_be_served = False
        self.latency_ms: dict[int, dict[str, float]] = {}
        self._stack = stack
        self._worker: ArchiveWorker | None = None

    @cached_property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    @cached_property
    def contents(self) -> dict[str, Contents]:
        """What is in each file. What is beyond the budget for all of them counts as unreadable."""
        budget, found = Budget(self.size), {}
        for name in self.files:
            with (self.folder / name).open("rb") as stream:
                found[name] = look_into(stream, name, budget)
        return found

    def start_worker(self) -> None:
        """Start a worker as TorchServe does, for the checks that follow; an ArchiveError says why it does not start."""
        if not self.can_be_served:
            raise NotThere("no handler")
        self._worker = self._stack.enter_context(started(self.file, self.folder))

    def lose_worker(self) -> None:
        """Let no other check ask the worker, which has died."""
        self._worker = None

    @property
    def worker(self) -> ArchiveWorker:
        """The worker, as long as it lives."""
        if self._worker is None:
            raise NotThere("no worker" if self.can_be_served else "no handler")
        return self._worker

    @cached_property
    def golden(self) -> list[GoldenRequest]:
        """The golden requests, at least one."""
        if layout.GOLDEN not in self.files:
            raise NotThere(f"it has no {layout.GOLDEN}; archives of marwright carry them")
        found = None
        with suppress(ValueError, RecursionError):
            found = golden.checked(description_in(self.folder, layout.GOLDEN))
        if not found:
            raise NotThere(f"its {layout.GOLDEN} has not what marwright writes there")
        return found

    @property
    def recorded(self) -> list[GoldenRequest]:
        """The golden requests, each with the answer that was recorded."""
        if not all(request.answer for request in self.golden):
            raise NotThere("it has a handler of its own, whose answers were not recorded")
        return self.golden
