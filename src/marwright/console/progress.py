"""What a person sees while marwright works. Everything goes to standard error; standard output is for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status

from marwright.console.heartbeat import Heartbeat, PipedBar, Work
from marwright.console.terminal import Terminal
from marwright.processes.launched import is_main

T = TypeVar("T")


@cache
def console() -> Terminal:
    """The one console that speaks to the user."""
    return Terminal(stderr=True, soft_wrap=True)


def say(*lines: str) -> None:
    """Tell the user something, as plain text, once however many processes there are.

    Args:
        lines: usually one; what would end a line inside one of them is shown, as all that a terminal would obey.
    """
    if is_main():
        for line in lines:
            console().print(line)
        heartbeat().spoken()


@cache
def heartbeat() -> Heartbeat:
    """The one that writes a line now and then where there is no terminal."""
    return Heartbeat(say)


def progress_bar() -> Progress | PipedBar:
    """A progress display with a bar, counts and times; a line now and then when standard error is not a terminal."""
    if not console().is_terminal:
        return PipedBar(heartbeat())
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console(),
        transient=True,
        disable=not is_main(),
    )


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` with a progress bar on a terminal, and a line now and then elsewhere."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)


def waiting(what: str) -> AbstractContextManager[Status | Work]:
    """Wait for work whose progress is unknown: a spinner on a terminal, a line now and then elsewhere."""
    return console().status(what) if console().is_terminal else heartbeat().over(what)


def working(what: str) -> AbstractContextManager[object]:
    """Do work that reports its own progress; without a terminal a line fills long silences."""
    return nullcontext() if console().is_terminal else heartbeat().over(what)
