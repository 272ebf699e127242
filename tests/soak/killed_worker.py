"""A worker is killed while clients wait for its answers, again and again."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter

import psutil

from marwright.console.progress import say
from soak.finding import Finding
from soak.served import Served, awaited
from soak.witnesses import Outcome, Witnesses, witnesses

PROMISE = (
    "A worker killed with -9 under load comes back; only what it had in hand fails, with a 5xx; no answer is wrong"
)
CLIENTS = 32
_COMES_BACK_S = 60
# Until the frontend has noticed, it may hand the dead worker one more batch.
_NOTICED_S = 1.0


def killed_worker(served: Served, *, kills: int, batch_size: int, calm_s: float, seed: int) -> Finding:
    """Kill one worker after another under load, each after all are READY again.

    Args:
        served: a server with at least one worker.
        kills: how often.
        batch_size: the most requests that a worker has in hand.
        calm_s: about how long to wait before a kill, in seconds; half of it to one and a half times.
        seed: of those moments, and of which worker.
    """
    chosen = random.Random(seed)
    moments, back, broken = [], [], []
    full = len(served.workers())
    with witnesses(served, CLIENTS) as seen:
        for number in range(kills):
            time.sleep(calm_s * chosen.uniform(0.5, 1.5))
            victim = chosen.choice(_own_workers(served))
            moments.append(time.monotonic())
            victim.kill()
            seconds = awaited(lambda gone=victim.pid: _whole_again(served, gone, full), _COMES_BACK_S)
            if seconds is None:
                broken.append(f"kill {number + 1}: there is no new worker after {_COMES_BACK_S} s: {served.workers()}")
                break
            back.append(seconds)
            say(f"  kill {number + 1} of {kills}: back after {seconds:.1f} s")
        time.sleep(calm_s)
    after = Witnesses()
    after.outcomes = [each for each in seen.outcomes if moments and each.sent > moments[-1] + sum(back[-1:])]
    broken += judged(seen.outcomes, moments, batch_size)
    if not after.count("right"):
        broken.append("nobody was answered after the last worker had come back")
    lost = seen.lost()
    statuses = dict(Counter(str(each.status or "no answer") for each in lost))
    worst = max((len(_lost_at(lost, moment)) for moment in moments), default=0)
    figures = {
        "kills": len(moments),
        "answered_right": seen.count("right"),
        "answered_wrong": seen.count("wrong"),
        "lost": len(lost),
        "lost_by_status": statuses,
        "lost_at_one_kill_at_most": worst,
        "back_after_s_median": round(statistics.median(back), 1) if back else None,
        "back_after_s_most": round(max(back), 1) if back else None,
    }
    summary = (
        f"{len(moments)} kills under {CLIENTS} clients: {seen.count('right'):,} answers right, "
        f"{seen.count('wrong')} wrong; {len(lost)} requests lost, {worst} at one kill at most "
        f"({_listed(statuses)}); a new worker READY after {figures['back_after_s_median']} s "
        f"(median; {figures['back_after_s_most']} at most)"
    )
    return Finding("killed-worker", PROMISE, summary, figures, tuple(broken))


def judged(outcomes: list[Outcome], moments: list[float], batch_size: int) -> list[str]:
    """What breaks the promise: wrong answers, losses far from a kill, more than was in hand, no clean 5xx."""
    broken = [f"wrong answer: {each.detail}" for each in outcomes if each.verdict == "wrong"]
    lost = [each for each in outcomes if each.verdict in ("refused", "unanswered")]
    for moment in moments:
        if len(found := _lost_at(lost, moment)) > batch_size:
            broken.append(f"{len(found)} requests were lost at one kill; the worker had at most {batch_size} in hand")
    explained = {each for moment in moments for each in _lost_at(lost, moment)}
    broken += [
        f"a request was lost without a kill: {each.status} {each.detail}" for each in lost if each not in explained
    ]
    broken += [
        f"a request got no 5xx but {each.status or 'no answer'}: {each.detail}" for each in lost if each.status < 500
    ]
    return broken


def _lost_at(lost: list[Outcome], moment: float) -> list[Outcome]:
    """What was under way when a worker was killed."""
    return [each for each in lost if each.sent <= moment + _NOTICED_S and each.ended >= moment]


def _own_workers(served: Served) -> list[psutil.Process]:
    """The server's children that it calls READY: of a worker without a process it says -1, which would be everybody."""
    ready = {pid for pid, status in served.workers().items() if status == "READY"}
    children = psutil.Process(served.server.pid).children(recursive=True)
    return sorted((child for child in children if child.pid in ready), key=lambda child: child.pid)


def _whole_again(served: Served, gone: int, full: int) -> bool:
    workers = served.workers()
    return gone not in workers and len(workers) == full and set(workers.values()) == {"READY"}


def _listed(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())) or "none"
