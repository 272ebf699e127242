"""SIGTERM, SIGHUP and Ctrl-C end a command in an orderly way, and never between a process's start and its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

import psutil

_POLITE = (signal.SIGTERM, signal.SIGHUP)


class _Interrupting:
    """A handler that lets signals end the main thread's work as Ctrl-C does.

    What is at work then cleans up on its way out. So a second SIGTERM or SIGHUP changes nothing; a second Ctrl-C does.
    """

    def __init__(self) -> None:
        self._holding, self._ending = 0, False
        self._pending: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._holding:
            self._pending = number
        elif number == signal.SIGINT or not self._ending:
            self._ending = True
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            pending = self._pending
            if not self._holding and pending is not None:
                self._pending = None
                self(pending, None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, which is how containers are stopped, and SIGHUP end the block as Ctrl-C does: KeyboardInterrupt.

    A signal that this process was started to ignore stays ignored, as under ``nohup``. In a block inside such a block,
    and in other threads than the main one, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or _handler() is not None:
        yield
        return
    handler = _Interrupting()
    with ExitStack() as stack:
        for number in (*_POLITE, signal.SIGINT):
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                signal.signal(number, handler)
                stack.callback(signal.signal, number, before if before is not None else signal.SIG_DFL)
        yield


@contextmanager
def held() -> Iterator[None]:
    """Let a signal that comes in the block wait for its end: for a process's start until it is noted, and its end."""
    handler = _handler()
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    with handler.held():
        yield


def end_children(but: Collection[int] = ()) -> None:
    """Kill every process that descends from this one, except those of these numbers."""
    for child in psutil.Process().children(recursive=True):
        if child.pid not in but:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _handler() -> _Interrupting | None:
    found = (signal.getsignal(number) for number in (*_POLITE, signal.SIGINT))
    return next((handler for handler in found if isinstance(handler, _Interrupting)), None)
