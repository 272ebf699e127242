"""``marwright rollout``, ``rollback`` and ``retire``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marwright.cli.options import ArchiveArgument, JsonOption, flag, option, print_json
from marwright.cli.server import StateOption
from marwright.console.progress import say
from marwright.console.terminal import Terminal
from marwright.errors import ServerError

if TYPE_CHECKING:
    from marwright.release import LiveServer, Outcome
    from marwright.release.verdict import Comparison

EXIT_REFUSED = 1
ModelArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as in /predictions/NAME.")]
ManagementOption = Annotated[
    str | None,
    option("URL", "Another server's management address; then --model-store too.", "--management"),
]
InferenceOption = Annotated[
    str | None, option("URL", "With --management: port 8080 there if not given.", "--inference")
]
MetricsOption = Annotated[str | None, option("URL", "With --management: port 8082 there if not given.", "--metrics")]
StoreOption = Annotated[Path | None, option("FOLDER", "With --management: the server's model store.", "--model-store")]
KeyFileOption = Annotated[Path | None, option("FILE", "With --management: the server's key_file.json.", "--key-file")]


def rollout(
    archive: ArchiveArgument,
    canary_seconds: Annotated[
        float, option("SECONDS", "How long texts go to both versions by their paths; 0: no canary.")
    ] = 30,
    canary_share: Annotated[
        float, option("SHARE", "Texts sent to both, as a share of the live rate; at least 10/s.")
    ] = 0.1,
    watch_seconds: Annotated[
        float, option("SECONDS", "How long the new default is watched; a bad verdict goes back.")
    ] = 10,
    max_error_rate: Annotated[
        float, option("SHARE", "Most requests to the new version without a good answer.")
    ] = 0.001,
    max_slowdown: Annotated[
        float, option("TIMES", "Most that its median, p95 and mean may be of the old version's.")
    ] = 1.5,
    min_agreement: Annotated[
        float, option("SHARE", "Least share of texts with the same label from both versions.")
    ] = 0.8,
    texts: Annotated[
        Path | None, option("FILE", "Texts to send, one per line; the archive's own if not given.")
    ] = None,
    workers: Annotated[
        int | None, option("N", "Workers for it; by default its own or the old one's number.", min=1)
    ] = None,
    ready_timeout: Annotated[float, option("SECONDS", "How long its workers may take to be ready.")] = 120,
    public_key: Annotated[Path | None, option("KEY.pub", "Whose signature must be beside the archive.")] = None,
    allow_label_change: Annotated[
        bool, flag("Take a version that has other labels than the old one.", "--allow-label-change")
    ] = False,
    state: StateOption = Path(".marwright"),
    management: ManagementOption = None,
    inference: InferenceOption = None,
    metrics: MetricsOption = None,
    model_store: StoreOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a model's version on a running server while it answers.

    The archive is verified, registered beside the old version, asked its golden requests, tried with texts that go to
    both versions, made the default, and watched. Exits with 1 if something speaks against it: the old version then
    answers as before. The server must let models be registered: configs/rollout.properties.

    Example: marwright rollout next/pt_classifier.mar --canary-seconds 60
    """
    from marwright.bench.texts import texts_of_file
    from marwright.release import Limits, Plan, release

    limits = Limits(max_error_rate=max_error_rate, max_slowdown=max_slowdown, min_agreement=min_agreement)
    plan = Plan(
        limits=limits,
        canary_s=canary_seconds,
        share=canary_share,
        watch_s=watch_seconds,
        ready_s=ready_timeout,
        workers=workers,
        allow_label_change=allow_label_change,
    )
    served = _served(state, management, inference, metrics, model_store, key_file)
    sent = texts_of_file(texts) if texts else ()
    outcome = release(archive, served, plan, texts=sent, public_key=public_key)
    if as_json:
        print_json(asdict(outcome))
    else:
        _print(outcome)
    if not outcome.accepted:
        raise typer.Exit(EXIT_REFUSED)


def rollback(
    name: ModelArgument,
    state: StateOption = Path(".marwright"),
    management: ManagementOption = None,
    inference: InferenceOption = None,
    metrics: MetricsOption = None,
    model_store: StoreOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the version before the last rollout the default again, at once.

    The newer version stays registered until `marwright retire NAME`.

    Example: marwright rollback pt_classifier
    """
    from marwright.release import roll_back

    reversal = roll_back(name, _served(state, management, inference, metrics, model_store, key_file))
    if as_json:
        print_json(_jsonable(asdict(reversal)))
    else:
        say(
            f"{name} {reversal.default} is the default again; {reversal.instead_of} stays registered: "
            f"`marwright retire {name}` ends it"
        )


def retire(
    name: ModelArgument,
    state: StateOption = Path(".marwright"),
    management: ManagementOption = None,
    inference: InferenceOption = None,
    metrics: MetricsOption = None,
    model_store: StoreOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the versions of a model that are not the default, once they have answered what they still have.

    Their archives stay in the model store, hidden. After that there is no going back within a second.

    Example: marwright retire pt_classifier
    """
    from marwright.release import retire as end_others

    ended = end_others(name, _served(state, management, inference, metrics, model_store, key_file))
    if as_json:
        print_json(_jsonable(ended))
        return
    for version, kept in ended.items():
        say(f"{name} {version} is retired" + (f"; its archive is {kept}" if kept else ""))
    if not ended:
        say(f"{name} has no other version than the default.")


def _served(
    state: Path,
    management: str | None,
    inference: str | None,
    metrics: str | None,
    model_store: Path | None,
    key_file: Path | None,
) -> LiveServer:
    from marwright.release import LiveServer

    if management is None:
        if any(value is not None for value in (inference, metrics, model_store, key_file)):
            raise ServerError("--inference, --metrics, --model-store and --key-file go with --management.")
        return LiveServer.of_state(state)
    if model_store is None:
        raise ServerError("--management also needs --model-store: the folder the server was started with.")
    return LiveServer.at(management, model_store, inference=inference, metrics=metrics, key_file=key_file)


def _print(outcome: Outcome) -> None:
    out = Terminal(soft_wrap=True)
    if outcome.canary:
        _print_comparison(out, "canary", outcome.canary, outcome.previous, outcome.version)
    if outcome.watch:
        _print_comparison(out, "watched", outcome.watch, outcome.previous, outcome.version)
    if outcome.canary or outcome.watch:
        out.print(_trained_on(outcome))
    for reason in outcome.reasons:
        out.print(f"✗ {reason}")
    if not outcome.accepted:
        say(f"{outcome.model} {outcome.version} is refused; {outcome.previous} answers")
    elif outcome.previous != outcome.version:  # not one that had been finished before
        say(
            f"{outcome.model} {outcome.version} answers. Back: `marwright rollback {outcome.model}`; "
            f"free the memory of {outcome.previous}: `marwright retire {outcome.model}`"
        )


def _trained_on(outcome: Outcome) -> str:
    if outcome.texts_trained_on is None:
        return "texts that it was trained on: not known, its archive carries no digests of its training texts"
    return f"texts that it was trained on: {outcome.texts_trained_on:,} of {outcome.texts:,}"


def _print_comparison(out: Terminal, what: str, seen: Comparison, old: str, new: str) -> None:
    rows = []
    for name, figures, counted in ((old, seen.old, seen.counted_old), (new, seen.new, seen.counted_new)):
        mean = counted.mean_ms if counted else None
        times = [f"{figures.ms[key]:.1f}" if key in figures.ms else "–" for key in ("p50", "p95", "p99")]
        mean_ms = f"{mean:.1f}" if mean is not None else "–"
        rows.append([name, f"{figures.requests:,}", f"{figures.failed:,}", *times, mean_ms])
    out.print_table([what, "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "TorchServe's mean ms"], rows)
    if seen.agreement is not None:
        known = seen.agreement_on_others
        others = "" if known is None else f"; to texts that the new one was not trained on: {known:.1%}"
        out.print(f"same label from both: {seen.agreement:.1%}{others}")


def _jsonable(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
