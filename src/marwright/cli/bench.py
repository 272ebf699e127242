"""``marwright bench``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.options import JsonOption, SetOption, option, print_json
from marwright.config import load_config
from marwright.console.progress import say, waiting, working
from marwright.console.terminal import Terminal
from marwright.errors import DataError
from marwright.workspace import Run

if TYPE_CHECKING:
    from marwright.bench import Result

EXIT_MISSED = 1
# No archive takes more texts in a request, and no machine has more ports to connect from.
MOST_INSTANCES, MOST_CLIENTS = 1_000_000, 64_000


def bench(
    target: Annotated[
        str, typer.Argument(metavar="URL|ARCHIVE", help="http://HOST:PORT/predictions/NAME, or a .mar file to serve.")
    ],
    rate: Annotated[
        float | None,
        option("PER_SECOND", "Requests due per second, however slow the answers (open loop)."),
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_CLIENTS,
            help="Without --rate: clients that wait for each answer [32]. With it: most connections [128].",
        ),
    ] = None,
    duration: Annotated[float, option("SECONDS", "How long requests are counted.")] = 20,
    warm_up: Annotated[float, option("SECONDS", "Before that; not counted.")] = 3,
    timeout: Annotated[
        float, option("SECONDS", "A request has failed without an answer so long after it was due.")
    ] = 10,
    instances: Annotated[int, option("N", "Texts in one request.", min=1, max=MOST_INSTANCES)] = 1,
    texts: Annotated[Path | None, option("FILE", "Texts: one per line, or a .csv or .tsv with a column text.")] = None,
    config: Annotated[str | None, option("CONFIG", "Texts: the test split of this configuration's run.")] = None,
    settings: SetOption = None,
    body: Annotated[
        str | None,
        option("JSON", "The body for another server: %s stands for the text, with --instances for the list of texts."),
    ] = None,
    headers: Annotated[
        list[str] | None, option("'NAME: VALUE'", "One more header. May be repeated.", "--header")
    ] = None,
    sla_ms: Annotated[
        float | None, option("MS", "Exit with 1 unless 99 % of the requests are answered in time.")
    ] = None,
    histogram: Annotated[Path | None, option("FILE.png", "Draw the latencies.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a served model: rates, latencies, failures, and what the measuring itself costs.

    With --rate a latency begins when its request was due, not when it was sent: a server that stalls cannot hide it.

    Example: marwright bench model_store/pt_classifier.mar --rate 500 --sla-ms 40 --histogram latency.png
    """
    from marwright.bench import Load, measure
    from marwright.bench.live import live_line
    from marwright.bench.picture import draw_histogram

    load = Load(rate=rate, clients=clients, duration_s=duration, warm_up_s=warm_up, timeout_s=timeout)
    sent = _texts(target, texts, config, settings)
    with _served(target) as url, live_line(load) as observer, working(f"measuring {target}"):
        result = measure(url, sent, load, instances=instances, template=body, headers=headers or (), observer=observer)
    if as_json:
        print_json(result.as_json(sla_ms))
    else:
        _print(result, sla_ms)
    for doubt in result.doubts:
        say(f"marwright: not trustworthy: {doubt}.")
    if histogram is not None:
        draw_histogram(result, histogram, sla_ms)
    if sla_ms is not None and not result.keeps(sla_ms):
        raise typer.Exit(EXIT_MISSED)


def _is_url(target: str) -> bool:
    return "://" in target


def _texts(target: str, file: Path | None, config: str | None, settings: list[str] | None) -> list[str]:
    from marwright.bench import texts_of_archive, texts_of_file, texts_of_run

    if file is not None and config is not None:
        raise DataError("Give --texts or --config, not both.")
    if file is not None:
        return texts_of_file(file)
    if config is not None:
        loaded = load_config(config, settings or ())
        return texts_of_run(Run(loaded.runs / loaded.name))
    if _is_url(target):
        raise DataError("A URL says nothing about texts. Give --texts FILE, or --config CONFIG for a run's test split.")
    return texts_of_archive(Path(target))


@contextmanager
def _served(target: str) -> Iterator[str]:
    from marwright.bench import serving_archive

    if _is_url(target):
        yield target
        return
    with waiting("starting TorchServe") as status, serving_archive(Path(target)) as url:
        status.stop()
        yield url


def _print(result: Result, sla_ms: float | None) -> None:
    out = Terminal()
    out.print(f"{result.load}, {result.duration_s:g} s after {result.warm_up_s:g} s of warm-up")
    latencies = ["–" if value is None else f"{value:,.2f}" for value in result.latency_ms.values()]
    out.print_table(list(result.latency_ms), [latencies], justify="right")
    out.print_pairs(_rows(result, sla_ms))


def _rows(result: Result, sla_ms: float | None) -> list[tuple[str, str]]:
    failed = ", ".join(f"{count:,} {kind}" for kind, count in result.failed.items())
    late, share = result.generator_lateness_ms, f"{result.generator_cpu_share:.0%} of a core"
    rows = [
        ("offered", f"{result.offered_rate:,.1f} requests/s"),
        ("achieved", f"{result.achieved_rate:,.1f} requests/s, {result.texts_per_second:,.1f} texts/s"),
        ("answered", f"{result.ok:,} of {result.due:,}"),
        ("failed", f"{result.due - result.ok:,}" + (f" ({failed})" if failed else "")),
        ("connections", str(result.connections)),
        ("generator's own CPU", f"{result.generator_cpu_ms:.3f} ms per request ({share})"),
        ("sent late by", f"{late['max']:.2f} ms at most, p99 {late['p99']:.2f} ms"),
    ]
    if (refusal := result.refusal_ms)["p50"] is not None:
        rows.insert(4, ("errors took", f"{refusal['p50']:,.2f} ms (p50), {refusal['p99']:,.2f} ms (p99)"))
    if sla_ms is not None:
        verdict = "kept" if result.keeps(sla_ms) else "MISSED"
        within = f"{result.share_within(sla_ms):.2%} answered within {sla_ms:g} ms"
        rows.append((f"SLA {sla_ms:g} ms on p99", f"{verdict}: {within}"))
    if result.doubts:
        rows.append(("trustworthy", "NO: " + "; ".join(result.doubts)))
    return rows
