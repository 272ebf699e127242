"""Which code of an archive is run by a check of it, and what is left of it afterwards."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from command_line import marwright
from daemons import DAEMON, gone
from foreign_archives import GOOD_HANDLER, archived, minimal
from marwright.checks.verify import verify
from verified import CONFIG, check, failures

EVIL = pickle.dumps(print)
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to who asks for them")


def tracing(trace: Path) -> str:
    return f"from pathlib import Path\nPath({str(trace)!r}).touch()\n" + GOOD_HANDLER


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"model.pkl": EVIL}, "no pickles"),
        ({"hashes.json": b"{}"}, "hashes"),
        ({"a.gz": b"\x1f\x8b\x08"}, "no pickles"),
    ],
    ids=["a pickle", "a changed file", "a file that cannot be read"],
)
def test_nothing_is_run_once_a_check_has_failed(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    trace = tmp_path / "trace"
    file = minimal(tmp_path / "a.mar", files, handler=tracing(trace))
    report = verify(file)

    assert failures(report).keys() == {what}
    assert not trace.exists()
    for name in ("handler imports", "handler contract", "worker", "golden requests", "latency"):
        assert check(report, name).state == "skipped"
    assert check(report, "worker").detail == f"nothing of it is run, since this failed: {what}; --run-anyway runs it"


@pytest.mark.slow
def test_it_is_run_anyway_if_one_says_so(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = archived(tmp_path / "a", tracing(trace), extra={"model.pkl": EVIL}, config=CONFIG)
    done = marwright("verify", file, "--run-anyway")

    assert done.returncode == 1
    assert "✓ worker" in done.stdout
    assert "✗ no pickles" in done.stdout
    assert trace.exists()


def test_no_run_means_no_run_anyway_too(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    verify(minimal(tmp_path / "a.mar", {}, handler=tracing(trace)), run=False, run_anyway=True)

    assert not trace.exists()


@pytest.mark.slow
@ON_LINUX
def test_a_daemon_that_a_handler_starts_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    report = verify(archived(tmp_path / "a", DAEMON.format(pids=str(pids)) + GOOD_HANDLER, config=CONFIG))

    assert not failures(report)
    started = [int(line) for line in pids.read_text().splitlines()]
    assert len(started) == 4, "two to look at it, two to serve"
    assert all(map(gone, started))
