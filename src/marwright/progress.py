"""What a person sees while marwright works. Everything goes to standard error; standard output is for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from marwright.processes import is_main

T = TypeVar("T")


@cache
def console() -> Console:
    """The one console that speaks to the user."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(sentence: str) -> None:
    """Tell the user something, as plain text, once however many processes there are."""
    if is_main():
        console().print(sentence, markup=False)


def progress_bar() -> Progress:
    """A progress display with a bar, counts and times; silent when standard error is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
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
