"""Two servers of an image behind HAProxy, each replaced while requests come: none is lost.

The short form of scripts/benchmarks/behind_a_proxy.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import behind_a_proxy
from engineless import missing
from marwright.config import load_config

# Minutes at a steady rate, which other work on the machine spoils.
ASKED_FOR = "MARWRIGHT_LONG_TESTS" in os.environ

pytestmark = [
    pytest.mark.skipif(not ASKED_FOR, reason="set MARWRIGHT_LONG_TESTS to replace servers under load for minutes"),
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(missing() is not None, reason=f"servers without a container engine: {missing()}"),
]


def test_no_request_is_lost_while_both_servers_are_replaced(tiny_archive: Path, tmp_path: Path) -> None:
    config = load_config(Path("configs/customs.yaml"), ["name=goods"])

    seen = behind_a_proxy.replaced_in_turn(config, tiny_archive, tmp_path, requests=7000, rate=100)

    print(seen)
    assert seen.result.due == seen.result.ok == 7000, seen
    assert max(seen.ends) < 10
