"""Whether a run is finished, so that what is written from it is what its configuration says."""

from __future__ import annotations

from marwright.config import Config
from marwright.errors import MarwrightError
from marwright.files import read_json
from marwright.road.freshness import digest_if_fresh
from marwright.road.pipeline import fingerprint_of, stations_of
from marwright.workspace import Run


def finished_run(config: Config, last: str) -> Run:
    """Return the run of a configuration, finished up to its station ``last``; nothing is built.

    Raises:
        MarwrightError: a station up to that one is not finished, or was made with other settings.
    """
    run = Run(config.runs / config.name)
    digests: dict[str, str] = {}
    for station in stations_of(config, last):
        result = station.result(config, run, station.name)
        digest = digest_if_fresh(run.stamp(station.name), fingerprint_of(station, config, digests), result)
        if digest is None:
            raise MarwrightError(
                f"{result}: not built, or not with these settings. Build it: marwright build CONFIG --until {last}"
            )
        digests[station.name] = digest
    return run


def temperature_of(run: Run) -> float:
    """By what the logits of a run's module are divided, so that its probabilities can be taken at their word."""
    temperature: float = read_json(run.exported.card)["confidence"]["temperature"]
    return temperature
