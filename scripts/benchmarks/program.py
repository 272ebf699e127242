"""What the benchmarks have in common as programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from marwright.console.progress import say
from marwright.errors import MarwrightError


def parser_of(program: str, about: str | None) -> argparse.ArgumentParser:
    """A command line whose help is the program's docstring."""
    return argparse.ArgumentParser(program, description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


@contextmanager
def telling_errors(program: str) -> Iterator[None]:
    """Say what a user can cure in a line, and leave with its exit code."""
    try:
        yield
    except MarwrightError as error:
        say(f"{program}: {error}")
        sys.exit(error.exit_code)
