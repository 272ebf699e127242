"""Which process a number meant, whatever the clock does and whoever has the number now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process for good: its number, the boot of the machine, and the ticks since that boot when it was started.

    Neither moves when the clock is set. Where the system does not tell them, ``boot`` is empty and ``started`` is the
    time of creation, which such a system keeps as it was.
    """

    pid: int
    boot: str
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process that has this number now; ``None`` if none has or it has ended and nobody has collected it."""
        if not _BOOT.exists():
            try:
                process = psutil.Process(pid)
                return None if process.status() == psutil.STATUS_ZOMBIE else cls(pid, "", str(process.create_time()))
            except psutil.Error:
                return None
        try:
            # The name, in parentheses, may have blanks and parentheses itself; see proc_pid_stat(5) for the rest.
            state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return None if state in ("Z", "X") else cls(pid, _BOOT.read_text().strip(), fields[18])

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self
