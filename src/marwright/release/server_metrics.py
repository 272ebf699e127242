"""What TorchServe has counted for a model, whoever sent the requests.

Those to ``/predictions/NAME/VERSION`` are counted for the version; those to ``/predictions/NAME`` are counted together,
as version "default", whichever version was the default one when they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from marwright.server.client import TorchServe

_WITHOUT_VERSION = "default"
_LINE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Counted:
    """Requests by one path: how many came, answered or not, and the sum of their times to the answer, in ms."""

    requests: float = 0.0
    ms: float = 0.0

    @property
    def mean_ms(self) -> float | None:
        """The mean time of a request, its waiting included; ``None`` without any."""
        return self.ms / self.requests if self.requests else None


@dataclass(frozen=True)
class Counters:
    """A model's counters since the server's start, or between two moments.

    ``by_path`` is keyed as TorchServe writes versions. ``server_errors`` are the whole server's answers with a 5xx: it
    does not count them by model or version.
    """

    by_path: Mapping[str, Counted]
    server_errors: float

    def of(self, version: str | None) -> Counted:
        """The requests with this version in their path; with ``None`` those without one."""
        return self.by_path.get(_WITHOUT_VERSION if version is None else version, Counted())

    @property
    def requests(self) -> float:
        """All requests to the model."""
        return sum(counted.requests for counted in self.by_path.values())

    def since(self, earlier: Counters) -> Counters:
        """What has been added after ``earlier``."""
        by_path = {}
        for written, now in self.by_path.items():
            before = earlier.by_path.get(written, Counted())
            by_path[written] = Counted(now.requests - before.requests, now.ms - before.ms)
        return Counters(by_path, self.server_errors - earlier.server_errors)


def read_counters(server: TorchServe, model: str) -> Counters | None:
    """Read a model's counters; ``None`` where the server shows none (``metrics_mode`` must be ``prometheus``)."""
    return parse(server.metrics_text() or "", model)


def parse(text: str, model: str) -> Counters | None:
    """Read Prometheus' text format; ``None`` if there is nothing in it, as with ``metrics_mode=log``."""
    requests: dict[str, float] = {}
    microseconds: dict[str, float] = {}
    server_errors, anything = 0.0, False
    for line in _LINE.finditer(text):
        anything = True
        labels = dict(_LABEL.findall(line["labels"]))
        if line["name"] == "Requests5XX":
            server_errors += float(line["value"])
        elif labels.get("model_name") == model and "model_version" in labels:
            if line["name"] == "ts_inference_requests_total":
                requests[labels["model_version"]] = float(line["value"])
            elif line["name"] == "ts_inference_latency_microseconds":
                microseconds[labels["model_version"]] = float(line["value"])
    if not anything:
        return None
    by_path = {written: Counted(count, microseconds.get(written, 0.0) / 1000) for written, count in requests.items()}
    return Counters(by_path, server_errors)
