"""``marwright build``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from marwright.cli.exploring import explored
from marwright.cli.going_on import given
from marwright.cli.options import JsonOption, OptionalConfigArgument, SetOption, option, print_json
from marwright.config import Config, load_config
from marwright.console.progress import say
from marwright.files import read_json
from marwright.metrics.verdicts import warnings
from marwright.road.pipeline import build as build_archive
from marwright.road.stations import STATIONS, archive_path
from marwright.workspace import Run

STATION_NAMES = ", ".join(station.name for station in STATIONS)


def build(
    config: OptionalConfigArgument = None,
    until: Annotated[str | None, option("STATION", f"Stop after this station: {STATION_NAMES}.")] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build an archive: rows → teacher → student → int8 → TorchScript → .mar.

    Stations whose settings and inputs have not changed are skipped. A killed build goes on where it was. With a section
    ``select`` the candidates are explored first, and the one that is picked is shipped.

    Example: marwright build configs/customs.yaml --until teacher --set teacher.epochs=3
    """
    loaded = load_config(given(config, "build"), settings or ())
    picked = None
    if loaded.select is not None and until in (None, "archive"):
        from marwright.explore.explore import chosen

        exploration = explored(loaded)
        picked = chosen(exploration)
        say(exploration.verdict.sentence)
        # The run takes over what the winner is made of, so that run and archive go on belonging together.
        steps = build_archive(picked.config, until, lenders=[each.run for each in exploration.candidates])
    else:
        folder = Run(loaded.runs / loaded.name).candidates
        steps = build_archive(loaded, until, lenders=folder.existing())
    archive = archive_path(loaded)
    against = _warnings(loaded) if until in (None, "archive") else []
    for sentence in against:
        say(sentence)
    if as_json:
        result: dict[str, Any] = {
            "archive": str(archive) if archive.is_file() else None,
            "stations": [asdict(step) for step in steps],
            "warnings": against,
        }
        print_json(result if picked is None else result | {"candidate": picked.name})
    elif until in (None, "archive"):
        say(f"{archive} is ready: marwright serve, or marwright predict {archive} 'some text'")


def _warnings(config: Config) -> list[str]:
    """What speaks against the archive that was built."""
    run = Run(config.runs / config.name)
    return warnings(read_json(run.data.card), read_json(run.exported.card)["test"]["accuracy"])
