"""What a person sees while marwright works. Everything goes to standard error; standard output is for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from marwright.processes import is_main
from marwright.terminal import Terminal

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


def progress_bar() -> Progress:
    """A progress display with a bar, counts and times; silent when standard error is not a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console(),
        transient=True,
        disable=not (console().is_terminal and is_main()),
    )


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` with a progress bar on a terminal, and nothing elsewhere."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)
