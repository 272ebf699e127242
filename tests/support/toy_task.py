"""Several labels for each text, as small as a task can be: one file, and one line in a registry."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from marwright.metrics.classification import LabelFigures
from marwright.tasks import Fitted, Task
from marwright.tasks.task import NONE, UNFITTED, Logits, Probabilities, Targets, same

if TYPE_CHECKING:
    from torch import Tensor


class SeveralLabels(Task):
    """Labels are written with ``+`` between them; targets are 0 or 1, (rows, labels)."""

    name = "several_labels"
    handler = "text_classification_handler.py"
    problem_type = "multi_label_classification"
    settings = ("temperature", "threshold")
    fewest_labels = 1
    figures = {"accuracy": "exact match", "micro_f1": "micro-F1"}  # noqa: RUF012
    followed = ("accuracy", "micro_f1")
    best_by = "micro_f1"

    def labels_in(self, written: str) -> Sequence[str]:
        return [label for label in written.split("+") if label]

    def written(self, answer: Any, names: Sequence[str]) -> str:
        return "+".join(name for name, given in zip(names, answer, strict=True) if given)

    def feature(self, names: Sequence[str]) -> Any:
        from datasets import Sequence as Several
        from datasets import Value

        return Several(Value("float32"), length=len(names))

    def targets(self, written: Sequence[str], names: Sequence[str]) -> Targets:
        rows = [[name in labels for name in names] for labels in map(self.labels_in, written)]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(names))

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.asarray(targets).argmax(axis=1)

    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
        from torch.nn import functional

        smoothed = targets.float() * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").sum(1)
        return losses.mean() if reduction == "mean" else losses.sum()

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none").sum(1).mean()

    def linear_model(self) -> Any:
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import LinearSVC

        return OneVsRestClassifier(LinearSVC(random_state=0))

    def probabilities(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> npt.NDArray[np.float64]:
        scaled = np.asarray(logits, dtype=np.float64) / fitted.get("temperature", 1.0)
        return np.asarray(1 / (1 + np.exp(-scaled)))

    def logits(self, probabilities: Probabilities) -> Logits:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probabilities) - np.log1p(-probabilities))

    def answers(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> Targets:
        return (self.probabilities(logits, fitted) > fitted.get("threshold", 0.5)).astype(np.float32)

    def probability_of(self, answers: Targets, probabilities: Probabilities) -> Probabilities:
        return np.asarray(np.where(np.asarray(answers) > 0, probabilities, 1 - probabilities).prod(axis=1))

    def log_losses(
        self, logits: Logits, targets: Targets, fitted: Mapping[str, Any] = UNFITTED
    ) -> npt.NDArray[np.float64]:
        return np.asarray(-np.log(self.probability_of(targets, self.probabilities(logits, fitted)) + 1e-300))

    def fit(self, logits: Logits, targets: Targets) -> Fitted:
        def exact(threshold: float) -> float:
            return float(same(self.answers(logits, {"threshold": threshold}), targets).mean())

        best = max((0.3, 0.5, 0.7), key=exact)
        return Fitted({"temperature": 1.0, "threshold": best}, fitted=True, why="best of three on validation rows")

    def scores(
        self,
        logits: Logits,
        targets: Targets,
        counted_as_wrong: Mapping[str, int] = NONE,
        fitted: Mapping[str, Any] = UNFITTED,
    ) -> dict[str, float]:
        from sklearn.metrics import f1_score

        answers, rows = self.answers(logits, fitted), len(targets) + sum(counted_as_wrong.values())
        return {
            "accuracy": float(same(answers, targets).sum() / rows),
            "micro_f1": float(f1_score(targets, answers, average="micro", zero_division=0)),
            "macro_f1": float(f1_score(targets, answers, average="macro", zero_division=0)),
        }

    def figures_by_label(self, answers: Targets, targets: Targets, names: Sequence[str]) -> list[LabelFigures]:
        from sklearn.metrics import precision_recall_fscore_support

        each = zip(*precision_recall_fscore_support(targets, answers, zero_division=0), strict=True)
        return [
            LabelFigures(name, f1=float(f1), precision=float(precision), recall=float(recall), rows=int(rows))
            for name, (precision, recall, f1, rows) in zip(names, each, strict=True)
        ]

    def said(self, answer: Any) -> Hashable | None:
        return frozenset(answer["labels"]) if isinstance(answer, dict) and "labels" in answer else None
