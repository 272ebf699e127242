"""The same text alone, and among fifteen others: how far apart are the answers?"""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marwright.console.progress import say
from marwright.mar import layout
from marwright.mar.worker import ArchiveWorker, running
from soak.finding import Finding

PROMISE = "The same text alone and among 15 others gets the same labels, probabilities within a stated tolerance"
BATCH = 16
SHOWN = 5
# What rounding may do: docs/reliability.md says where it comes from.
TOLERANCE_P99 = 0.02
TOLERANCE_MOST = 0.05


def neighbours(archive: Path, texts: Sequence[str], *, rounds: int, seed: int) -> Finding:
    """Ask a real worker for every text alone, and ``rounds`` times in batches of sixteen with other neighbours.

    Args:
        archive: the archive; its own worker runs without the frontend, so that the batches are known.
        texts: different ones, a multiple of sixteen of which is used.
        rounds: how often the texts are shuffled into batches.
        seed: of the shuffling.
    """
    used = list(dict.fromkeys(texts))
    used = used[: len(used) // BATCH * BATCH]
    labels = labels_of(archive)
    with running(archive) as worker:
        alone = np.stack([_probabilities(worker, [text], labels)[0] for text in used])
        say(f"  {len(used)} texts alone")
        together = np.stack(
            [_in_batches(worker, used, labels, random.Random(seed + number)) for number in range(rounds)]
        )
    off = np.abs(together - alone).max(axis=2)
    among = np.abs(together - together[0]).max(axis=2) if rounds > 1 else np.zeros((1, 1))
    best_changed = together.argmax(axis=2) != alone.argmax(axis=1)
    ordered = [np.argsort(-each, axis=-1, kind="stable")[..., :SHOWN] for each in (alone, together)]
    others = (np.sort(ordered[1], axis=-1) != np.sort(ordered[0], axis=-1)).any(axis=-1)
    broken = judged(alone, together)
    figures = {
        "texts": len(used),
        "batches_of": BATCH,
        "rounds": rounds,
        "off_p50": float(np.quantile(off, 0.5)),
        "off_p99": float(np.quantile(off, 0.99)),
        "off_most": float(off.max()),
        "between_batches_p99": float(np.quantile(among, 0.99)),
        "between_batches_most": float(among.max()),
        "best_label_changed": int(best_changed.sum()),
        "top_5_other_labels": int(others.sum()),
        "comparisons": int(off.size),
    }
    summary = (
        f"{len(used)} texts, {rounds} times in batches of {BATCH}: 99 % within {figures['off_p99']:.4f} of a "
        f"probability, {figures['off_most']:.4f} at most; in {off.size:,} comparisons the best label changed "
        f"{figures['best_label_changed']} times, one of the first five {figures['top_5_other_labels']} times, each for "
        f"one about as likely; from batch to batch 99 % within {figures['between_batches_p99']:.4f}, "
        f"{figures['between_batches_most']:.4f} at most"
    )
    return Finding("neighbours", PROMISE, summary, figures, tuple(broken))


def judged(alone: np.ndarray, together: np.ndarray) -> list[str]:
    """What breaks the promise.

    Args:
        alone: probabilities of shape (texts, labels).
        together: the same in batches, of shape (rounds, texts, labels).
    """
    off = np.abs(together - alone).max(axis=2)
    broken = []
    if (p99 := float(np.quantile(off, 0.99))) > TOLERANCE_P99:
        broken.append(f"1 % of the answers are {p99:.3f} or more off; {TOLERANCE_P99} is allowed")
    if (most := float(off.max())) > TOLERANCE_MOST:
        broken.append(f"an answer is {most:.3f} off; {TOLERANCE_MOST} is allowed")
    # Another label may only come into the first five, or to their head, in the place of one as likely.
    shown = min(SHOWN, alone.shape[1])
    for place in {1, shown}:
        least = np.sort(alone, axis=1)[:, -place]
        chosen = np.argsort(-together, axis=2)[:, :, :place]
        had = np.take_along_axis(np.broadcast_to(alone, together.shape), chosen, axis=2)
        if (short := float((least[None, :, None] - had).max())) > 2 * TOLERANCE_MOST:
            broken.append(f"a label among the first {place} was {short:.3f} less likely than those when alone")
    return broken


def labels_of(archive: Path) -> list[str]:
    """All labels of an archive."""
    with zipfile.ZipFile(archive) as opened:
        return list(json.loads(opened.read(layout.LABELS)).values())


def _in_batches(
    worker: ArchiveWorker, texts: Sequence[str], labels: Sequence[str], chosen: random.Random
) -> np.ndarray:
    order = chosen.sample(range(len(texts)), len(texts))
    found = np.zeros((len(texts), len(labels)))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        found[batch] = _probabilities(worker, [texts[at] for at in batch], labels)
    return found


def _probabilities(worker: ArchiveWorker, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    answers = worker.classify(texts, top_k=len(labels))
    return np.array([[answer[label] for label in labels] for answer in answers])
