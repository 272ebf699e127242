"""What a report shows in detail of one candidate: where it errs, how sure it is, how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import load_from_disk
from tokenizers import Tokenizer

from marwright.explore.candidates import Candidate
from marwright.explore.explore import Exploration
from marwright.files import read_json
from marwright.metrics.classification import LabelFigures
from marwright.metrics.confidence import Bin, expected_calibration_error, reliability
from marwright.report.answers import Answers, Shown, suspects_of
from marwright.tasks.task import UNFITTED
from marwright.workspace import SPLITS

WORST_PAIRS = 10
EXAMPLES = 12
ON_THE_PAGE_ALONE = {"token_lengths", "max_length", "temperature"}


@dataclass(frozen=True)
class Details:
    """The candidate that a report shows, on the test split."""

    candidate: Candidate
    labels: list[str]
    confusion: npt.NDArray[np.int64] | None
    """Shape (labels, labels): right label by answered label; none where a row may have several."""
    per_label: list[LabelFigures]
    """The worst first; labels without a test row are left out."""
    worst_pairs: list[Shown]
    """Labels that were given another one in most ``rows``, ``of`` all rows of the right label."""
    reliability: list[Bin]
    calibration_error: float
    training: dict[str, list[dict[str, float]]]
    """Of each model, an entry per epoch."""
    token_lengths: list[int]
    """Of every text of all splits, before it is cut."""
    max_length: int
    disagreeing_with_teacher: int
    disagreements: list[Shown]
    """Those in which the candidate is surest."""
    mistakes: list[Shown]
    """All of them, the surest first."""
    least_sure: list[Shown]
    labels_without_test_rows: list[str]
    suspects: Shown | None
    temperature: str | None
    """Why the temperature is what it is."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        lengths = np.asarray(self.token_lengths)
        found = asdict(self) | {
            "candidate": self.candidate.name,
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "tokens": {
                "max_length": self.max_length,
                "cut_share": float((lengths > self.max_length).mean()),
                "texts_by_length": np.bincount(lengths).tolist(),
            },
        }
        return {name: value for name, value in found.items() if name not in ON_THE_PAGE_ALONE}


def details_of(candidate: Candidate, exploration: Exploration) -> Details:
    """Gather what a report shows of a candidate from its run."""
    run = candidate.run
    task, labels = run.data.task, read_json(run.data.labels)
    splits = load_from_disk(str(run.data.splits))
    texts, right = list(splits["test"]["text"]), np.asarray(splits["test"]["label"])
    confidence = read_json(run.exported.card)["confidence"]
    card = read_json(run.data.card)
    answers = Answers(task, np.load(run.exported.logits("test")), confidence, right, texts, labels)
    teacher = replace(answers, logits=np.load(exploration.teacher.teacher.logits("test")), fitted=UNFITTED)
    confusion = task.confusion(answers.given, right, len(labels))
    tokenizer = Tokenizer.from_file(str(run.student.tokenizer))
    tokenizer.no_truncation()
    everything = [text for split in SPLITS for text in splits[split]["text"]]
    training = {station: read_json(run.model(station).history) for station in candidate.trained}
    disagreements = answers.disagreements(teacher)
    return Details(
        candidate=candidate,
        labels=labels,
        confusion=confusion,
        per_label=_worst_first(task.figures_by_label(answers.given, right, labels)),
        worst_pairs=[] if confusion is None else _worst_pairs(confusion, labels),
        reliability=reliability(answers.confidence, answers.hits),
        calibration_error=expected_calibration_error(answers.confidence, answers.hits),
        training={who: history for who, history in training.items() if history},
        token_lengths=[len(encoding.ids) for encoding in tokenizer.encode_batch_fast(everything)],
        max_length=candidate.config.teacher.max_length,
        disagreeing_with_teacher=len(disagreements),
        disagreements=disagreements[:EXAMPLES],
        mistakes=answers.mistakes(),
        least_sure=answers.least_sure(),
        labels_without_test_rows=list(card.get("labels_without_test_rows", ())),
        suspects=suspects_of(exploration.teacher),
        temperature=f"{confidence['temperature']:g}: {confidence['why']}" if "why" in confidence else None,
    )


def _worst_first(figures: Sequence[LabelFigures]) -> list[LabelFigures]:
    tested = [each for each in figures if each.rows]
    return sorted(tested, key=lambda each: each.f1 or 0.0)


def _worst_pairs(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> list[Shown]:
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST_PAIRS]
    pairs = [np.unravel_index(at, wrong.shape) for at in order if wrong.flat[at]]
    return [
        {
            "right": labels[right],
            "answered": labels[answered],
            "rows": int(wrong[right, answered]),
            "of": int(confusion[right].sum()),
        }
        for right, answered in pairs
    ]
