"""A new version is rolled out, rolled back and retired while clients ask at a steady rate."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marwright.console.progress import say
from soak.finding import Finding
from soak.served import Served, served
from soak.versions import version_of
from soak.witnesses import Outcome, Witnesses, witnesses

PROMISE = (
    "While a new version is rolled out, rolled back and retired, every request is answered, each by one version or "
    "the other"
)
OLD, NEW = "1.0", "2.0"
CLIENTS = 32
# Every label of the new version is moved on by one, so that its answers can be told: the two never agree.
_OPTIONS = ("--min-agreement", "0")


def rollout(archive: Path, properties: Path, *, rate: float, calm_s: float) -> Finding:
    """Serve an archive, release another version with ``marwright rollout``, and take it back.

    Args:
        archive: a ``.mar`` file.
        properties: a configuration that lets models be registered.
        rate: requests per second, at even intervals.
        calm_s: how long the server is watched before and after it all, in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        old = version_of(archive, Path(folder) / "model_store" / archive.name, OLD)
        new = version_of(archive, Path(folder) / "next" / archive.name, NEW, turn=1)
        with (
            served(old, properties) as server,
            witnesses(server, CLIENTS, versions=(old, new), rate=rate) as seen,
        ):
            time.sleep(calm_s)
            began = time.monotonic()
            released = _told(server, "rollout", str(new), *_OPTIONS)
            back = _told(server, "rollback", server.model)
            retired = _told(server, "retire", server.model)
            ended = time.monotonic()
            time.sleep(calm_s)
            left = server.versions().keys()
    steps = {"rollout": released, "rollback": back, "retire": retired}
    broken = [
        f"{name} exited with {done.returncode}: {done.stderr.strip()[-300:]}"
        for name, done in steps.items()
        if done.returncode
    ]
    if left != {OLD}:
        broken.append(f"afterwards the versions are {sorted(left)}")
    broken += judged(seen)
    quiet = [each for each in seen.outcomes if each.ended < began or each.sent > ended]
    busy = [each for each in seen.outcomes if began <= each.sent <= ended]
    by_version = {version: sum(each.version == version for each in seen.outcomes) for version in (OLD, NEW)}
    figures = {
        "rate_per_s": rate,
        "seconds": round(ended - began, 1),
        "requests": len(seen.outcomes),
        "answered_by": by_version,
        "answered_wrong": seen.count("wrong"),
        "lost": len(seen.lost()),
        "calm_p50_ms": _milliseconds(quiet, 50),
        "calm_p99_ms": _milliseconds(quiet, 99),
        "busy_p50_ms": _milliseconds(busy, 50),
        "busy_p99_ms": _milliseconds(busy, 99),
        "busy_most_ms": _milliseconds(busy, 100),
    }
    summary = (
        f"{len(seen.outcomes):,} requests at {rate:g}/s, {len(seen.lost())} without an answer, {seen.count('wrong')} "
        f"wrong; {by_version[OLD]:,} answered by {OLD}, {by_version[NEW]:,} by {NEW}; "
        f"rollout, rollback and retirement took {ended - began:.0f} s, p50 {figures['busy_p50_ms']} ms and p99 "
        f"{figures['busy_p99_ms']} ms meanwhile, {figures['calm_p50_ms']} and {figures['calm_p99_ms']} before and after"
    )
    return Finding("rollout", PROMISE, summary, figures, tuple(broken))


def judged(seen: Witnesses) -> list[str]:
    """What breaks the promise: a wrong answer or none, and a client who met the versions in another order."""
    broken = [f"wrong answer: {mistake}" for mistake in seen.wrong()]
    broken += [f"a request got {each.status or 'no answer'}: {each.detail}" for each in seen.lost()]
    for client in sorted({each.client for each in seen.outcomes}):
        if (met := in_one_piece(seen.versions(client))) != [OLD, NEW, OLD]:
            broken.append(f"client {client} was answered by {', '.join(met)} in turn")
    return broken


def in_one_piece(versions: Sequence[str]) -> list[str]:
    """The versions in the order in which they answered, each once for as long as it did."""
    return [version for at, version in enumerate(versions) if at == 0 or version != versions[at - 1]]


def _told(server: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of marwright's commands against the server."""
    own = server.server
    where = ["--management", own.management, "--inference", own.inference, "--metrics", own.metrics]
    files = ["--model-store", str(own.model_store), "--key-file", str(own.key_file)]
    command = [sys.executable, "-m", "marwright", *arguments, *where, *files]
    started = time.monotonic()
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    say(f"  {arguments[0]}: {time.monotonic() - started:.0f} s, exit code {done.returncode}")
    return done


def _milliseconds(outcomes: Sequence[Outcome], percentile: float) -> float | None:
    times = [1000 * (each.ended - each.sent) for each in outcomes if each.verdict == "right"]
    return round(float(np.percentile(times, percentile)), 1) if times else None
