"""Visits every server in every round: start, check (in the first), load, memory, stop."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from compare.artifacts import Artifacts
from compare.asking import Reference, check, wait_for_answer
from compare.figures import Measured, Visit, order_of_round
from compare.peers import Peer, Weights
from compare.quiet import wait_for_quiet, watched
from compare.tables import many
from marwright.bench import Load, measure
from marwright.bench.target import bodies
from marwright.console.progress import say
from marwright.errors import MarwrightError


@dataclass(frozen=True)
class Plan:
    rounds: int = 3
    seconds: float = 8
    warm_up_s: float = 2
    clients: tuple[int, ...] = (1, 16, 32)
    timeout_s: float = 30
    patience_s: float = 60

    def minutes(self, peers: int) -> float:
        """About how long it takes, with ten seconds for starting and stopping a server."""
        loads = len(self.clients) * (self.seconds + self.warm_up_s)
        return self.rounds * peers * (loads + 10) / 60


def visit_all(
    peers: Sequence[Peer],
    artifacts: Artifacts,
    references: Mapping[Weights, Reference],
    texts: Sequence[str],
    plan: Plan,
    after_round: Callable[[list[Visit]], None],
) -> tuple[list[Visit], dict[str, str]]:
    """Measure all servers in turn, round by round.

    A server that fails is left out from then on.

    Returns:
        All visits, and for each server that failed the reason.
    """
    visits: list[Visit] = []
    failed: dict[str, str] = {}
    known = {peer.name: peer for peer in peers}
    for number in range(plan.rounds):
        for name in order_of_round(list(known), number):
            if name in failed:
                continue
            peer = known[name]
            label = f"round {number + 1} of {plan.rounds} · {peer.title}"
            try:
                visits.append(_visit(peer, artifacts, references[peer.weights], texts, plan, number, label))
            except (MarwrightError, OSError, subprocess.SubprocessError) as error:
                failed[name] = str(error).splitlines()[0]
                say(f"{label}: left out: {failed[name]}")
        after_round(visits)
    return visits, failed


def under_load(url: str, texts: Sequence[str], clients: int, plan: Plan, template: str | None = None) -> Measured:
    """Measure a server with so many clients, once."""
    load = Load(clients=clients, duration_s=plan.seconds, warm_up_s=plan.warm_up_s, timeout_s=plan.timeout_s)
    result = measure(url, texts, load, template=template)
    p50, p99 = (result.latency_ms[at] or 0.0 for at in ("p50", "p99"))
    return Measured(clients, result.achieved_rate, p50, p99, sum(result.failed.values()), tuple(result.doubts))


def _visit(
    peer: Peer,
    artifacts: Artifacts,
    reference: Reference,
    texts: Sequence[str],
    plan: Plan,
    number: int,
    label: str,
) -> Visit:
    first = bodies(reference.texts[:1], template=peer.template)[0]
    wait_for_quiet(plan.patience_s)
    started = time.perf_counter()
    with peer.start(artifacts) as server:
        wait_for_answer(server, first)
        start_s = time.perf_counter() - started
        if number == 0:
            check(server, reference, peer.template, peer.best)
        loads = []
        for clients in plan.clients:
            with watched(server) as others:
                measured = under_load(server.url, texts, clients, plan, peer.template)
            said = f"{label} · {many(clients)}: {measured.rate:.0f} answers/s, {measured.latencies}"
            if others.doubt:
                measured = replace(measured, doubts=(*measured.doubts, others.doubt))
                said += f" ({others.doubt})"
            loads.append(measured)
            say(said)
        return Visit(peer.name, number, start_s, server.memory_mb(), tuple(loads))
