"""Prometheus scrapes a server of the image's files under load; every rule and every panel has something to show."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3
import yaml

from engineless import Container, context_serving, missing
from marwright.config import load_config
from marwright.files import read_json
from marwright.fleet.container.context import export_container
from marwright.server.ports import Ports
from waiting import eventually

LACKING = (
    missing()
    or ("needs prometheus" if shutil.which("prometheus") is None else None)
    or (None if "MARWRIGHT_LONG_TESTS" in os.environ else "set MARWRIGHT_LONG_TESTS to watch a server for minutes")
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(LACKING is not None, reason=str(LACKING))]
JSON = {"Content-Type": "application/json"}
# Of every kind that is counted: an answer, one that is not sure, one that is refused, and a form that none can decode.
REQUESTS = [
    (b'{"text": "tea of the", "min_confidence": 0}', JSON),
    (b'{"text": "tea and wool", "min_confidence": 1}', JSON),
    (b'{"text": 5}', JSON),
    (b"data=%zz", {"Content-Type": "application/x-www-form-urlencoded"}),
]
LIMIT = re.compile(r" [<>] [\d.]+$")


class Prometheus:
    """One that runs, and what it knows."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, path: str) -> Any:
        with urllib3.PoolManager(retries=False, timeout=10) as http:
            answer = http.request("GET", self._url + path).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expression: str) -> list[float]:
        found = self.ask(f"query?query={quote(expression)}")["result"]
        return [float(each["value"][1]) for each in found]


@pytest.fixture(scope="module")
def folder(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monitoring") / "context"
    export_container(load_config(Path("configs/customs.yaml"), ["name=goods"]), tiny_archive, folder)
    return folder


@pytest.fixture(scope="module")
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a server under load for a while."""
    with context_serving(203, folder, "goods", folder.parent / "log") as server:
        server.wait_until_ready()
        with asked(server), scraping(folder, server) as found:
            # A rate needs two samples between which something was counted.
            eventually(lambda: any(found.values("sum(rate(Requests5XX[10s])) > 0")))
            eventually(lambda: any(found.values("sum(rate(MarwrightAbstentions[10s])) > 0")))
            yield found


@contextmanager
def asked(server: Container) -> Iterator[None]:
    """A client that asks without a pause."""
    over = threading.Event()

    def ask() -> None:
        with urllib3.PoolManager(retries=False) as http:
            while not over.wait(0.01):
                for body, headers in REQUESTS:
                    with suppress(urllib3.exceptions.HTTPError):
                        http.request("POST", f"{server.url}/predictions/goods", body=body, headers=headers)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield
    finally:
        over.set()
        client.join()


@contextmanager
def scraping(folder: Path, server: Container) -> Iterator[Prometheus]:
    monitoring = folder / "monitoring"
    settings = yaml.safe_load((monitoring / "prometheus.yml").read_text(encoding="utf-8"))
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"{server.address}:8082"]}]
    config = monitoring / "here.yml"
    config.write_text(json.dumps(settings), encoding="utf-8")
    port = Ports.free().inference
    place = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder.parent / 'tsdb'}"]
    process = subprocess.Popen(["prometheus", f"--config.file={config}", *place], stderr=subprocess.DEVNULL)
    found = Prometheus(port)

    def scraped() -> list[float]:
        with suppress(urllib3.exceptions.HTTPError, ValueError, AssertionError):
            return found.values('up{job="marwright"} == 1')
        return []

    try:
        eventually(scraped)
        yield found
    finally:
        process.kill()
        process.wait()


def test_every_panel_has_data(prometheus: Prometheus, folder: Path) -> None:
    dashboard = read_json(folder / "monitoring" / "grafana" / "dashboards" / "marwright.json")
    expressions = [
        (panel["title"], target["expr"].replace("$__rate_interval", "10s"))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]

    time_is_up = time.monotonic() + 30
    empty = expressions
    while empty and time.monotonic() < time_is_up:
        empty = [(title, expression) for title, expression in empty if not has_data(prometheus, expression)]
    assert empty == []
    assert len(expressions) >= 14


def test_every_alert_rule_compares_something(prometheus: Prometheus, folder: Path) -> None:
    groups = yaml.safe_load((folder / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    rules = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}

    assert all(LIMIT.search(expression) for expression in rules.values())
    assert [name for name, expression in rules.items() if not has_data(prometheus, LIMIT.sub("", expression))] == []
    # A quarter of the requests cannot be answered here, and no label is given in another quarter: that is noticed.
    expected = {"RequestsFail", "RequestsRefused"}
    eventually(lambda: expected <= {rule["name"] for rule in _known(prometheus) if rule["state"] != "inactive"}, 30)
    assert {rule["name"] for rule in _known(prometheus) if rule["health"] == "ok"} == rules.keys()


def test_labels_are_counted_by_their_names(prometheus: Prometheus) -> None:
    found = prometheus.ask("query?query=MarwrightLabels")["result"]

    assert {each["metric"]["ModelName"] for each in found} == {"goods"}
    assert {each["metric"]["Label"] for each in found} <= {"tea", "coffee", "Käse", "rice", "wool"}


def has_data(prometheus: Prometheus, expression: str) -> bool:
    values = prometheus.values(expression)
    return bool(values) and all(map(math.isfinite, values))


def _known(prometheus: Prometheus) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = prometheus.ask("rules")["groups"][0]["rules"]
    return rules
