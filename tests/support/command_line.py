"""The command line as a user runs it: in this process, where it has imported what it needs, or in one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, chdir
from pathlib import Path
from unittest import mock

from marwright.cli import main
from marwright.console.progress import console, heartbeat

PROJECT = Path(__file__).parents[2]
Done = subprocess.CompletedProcess[str]


def marwright(
    *arguments: str | Path, cwd: Path = PROJECT, env: Mapping[str, str] | None = None, sent: bytes = b""
) -> Done:
    """Run a verb in this process, which saves the seconds that torch and transformers take to be imported.

    Args:
        arguments: the verb and what follows it.
        cwd: the folder in which it runs.
        env: variables beside those of this process.
        sent: its standard input.
    """
    import torch

    command = ["marwright", *map(str, arguments)]
    streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for name in ("stdout", "stderr")}
    # They belong to one run: where it speaks and since when.
    for kept in (console, heartbeat):
        kept.cache_clear()
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(chdir(cwd))
        stack.enter_context(mock.patch.dict(os.environ, env or {}))
        stack.enter_context(mock.patch.object(sys, "argv", command))
        stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent), "utf-8")))
        for name, stream in streams.items():
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.callback(torch.set_num_threads, threads)
        code = _exit_code()
    said = {name: stream.buffer.getvalue().decode() for name, stream in streams.items()}  # type: ignore[attr-defined]
    return Done(command, code, **said)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def marwright_process(*arguments: str | Path, cwd: Path = PROJECT, env: Mapping[str, str] | None = None) -> Done:
    """Run a verb in a process of its own, with no other variables than ``env`` if that is given."""
    command = [sys.executable, "-m", "marwright", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, check=False)
