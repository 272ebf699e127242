"""``marwright explore`` and ``marwright report``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marwright.cli.going_on import given
from marwright.cli.options import (
    AddressOption,
    Engine,
    EngineOption,
    JsonOption,
    OptionalConfigArgument,
    SetOption,
    option,
    print_json,
)
from marwright.config import Config, load_config
from marwright.console.progress import say
from marwright.console.terminal import Terminal
from marwright.errors import ConfigError

if TYPE_CHECKING:
    from marwright.explore.cluster import Cluster
    from marwright.explore.explore import Exploration
    from marwright.explore.rows import Row

EXIT_FAILED = 1
WIDTH = 130
HEADS = ["candidate", "accuracy", "vs teacher (95 %)", "macro-F1", "ECE"]
HEADS += ["1 text", "16 texts", "texts/s", "MB", "memory"]


def explore(
    config: OptionalConfigArgument = None,
    settings: SetOption = None,
    engine: EngineOption = Engine.LOCAL,
    address: AddressOption = None,
    workers: Annotated[int | None, option("N", "With Ray: most models trained at a time.", min=1)] = None,
    cpus: Annotated[int, option("N", "With Ray: cores, and threads, for each model.", min=1)] = 1,
    gpus: Annotated[float, option("N", "With Ray: GPUs for each model, or a share of one.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Build the candidates of a configuration, measure each through its exported module, and pick one.

    Writes the table, pictures and numbers to runs/NAME/candidates/report.html and report.json. What is fresh is not
    done again. Exit code 1 if a candidate failed or none keeps the promise of the section select. With Ray models are
    trained side by side on a cluster; all that is timed stays on this machine, in turns.

    Example: marwright explore configs/banking77.yaml --set select.sla_ms=20
    """
    loaded = load_config(given(config, "explore"), settings or ())
    cluster = None
    if engine is Engine.RAY:
        from marwright.explore.cluster import Cluster

        cluster = Cluster(address, workers, cpus, gpus)
    elif address is not None or workers is not None or cpus > 1 or gpus:
        raise ConfigError("--address, --workers, --cpus and --gpus are for --engine ray.")
    exploration = explored(loaded, cluster)
    _print(exploration, as_json)
    say(f"{exploration.findings.report} shows it in full.")
    kept = exploration.verdict.winner is not None or loaded.select is None
    if not kept or any(row.failure for row in exploration.rows):
        raise typer.Exit(EXIT_FAILED)


def report(config: OptionalConfigArgument = None, settings: SetOption = None, as_json: JsonOption = False) -> None:
    """Show one run on a page: figures, pictures, mistakes. Stations up to the exported module are run if not fresh.

    Writes runs/NAME/report.html, which needs no network, and the numbers to report.json. With a section select it is
    the run of the candidate that is picked.

    Example: marwright report configs/customs.yaml
    """
    from marwright.explore.explore import chosen, examine
    from marwright.report.writing import write_report

    loaded = load_config(given(config, "report"), settings or ())
    if loaded.select is not None:
        loaded = chosen(explored(loaded)).config.model_copy(update={"select": loaded.select})
    exploration = examine(loaded)
    write_report(exploration)
    _print(exploration, as_json)
    say(f"{exploration.findings.report} is ready.")


def explored(config: Config, cluster: Cluster | None = None) -> Exploration:
    """Explore and write the report."""
    from marwright.explore.explore import explore as run_exploration
    from marwright.report.writing import write_report

    exploration = run_exploration(config, cluster)
    write_report(exploration)
    return exploration


def _print(exploration: Exploration, as_json: bool) -> None:
    if as_json:
        from marwright.explore.explore import as_json as numbers

        print_json(numbers(exploration))
        return
    out = Terminal()
    # A narrow window would cut figures off.
    out.width = max(out.width, WIDTH)
    out.print_table(HEADS, map(_cells, exploration.rows), no_wrap=True)
    say("Accuracy, F1 and calibration error (ECE) on test; milliseconds are p50 / p99 on one thread.")
    if exploration.config.select is not None:
        say(exploration.verdict.sentence)
    elif len(exploration.rows) > 1:
        say(f"No promise is configured (section select). By the usual one: {exploration.verdict.sentence}")
    for sentence in exploration.warnings:
        say(sentence)
    for row in exploration.rows:
        if row.failure:
            say(f"{row.name} failed: {row.failure}")


def _cells(row: Row) -> list[str]:
    test, latency = row.test, row.latency
    if test is None or latency is None:
        return [row.name, "failed", *["–"] * 8]
    low, high = test.interval
    memory = row.peak_memory_bytes
    return [
        row.name,
        f"{test.accuracy:.2%}",
        f"{0 - 100 * test.drop:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
        f"{test.macro_f1:.2%}",
        f"{test.calibration_error:.2%}",
        f"{latency.p50_1:.2f} / {latency.p99_1:.2f}",
        f"{latency.p50_16:.1f} / {latency.p99_16:.1f}",
        f"{latency.texts_per_second:,.0f}",
        "–" if row.module_bytes is None else f"{row.module_bytes / 1e6:.1f}",
        "–" if memory is None else f"{memory / 1e6:.0f} MB",
    ]
