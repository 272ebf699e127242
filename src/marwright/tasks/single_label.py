"""One label for each text: a softmax over all labels, cross-entropy, and a temperature that is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from marwright.mar.abstention import probabilities_in
from marwright.metrics import confidence
from marwright.metrics.classification import LabelFigures, confusion_matrix, figures_by_label, scores
from marwright.metrics.label_errors import Judged, judge
from marwright.tasks.task import NONE, UNFITTED, Logits, Probabilities, Probe, Targets, Task

if TYPE_CHECKING:
    from torch import Tensor

# Inverse strength of the probe's penalty: weak, since the features are bounded and few.
INVERSE_PENALTY = 10.0


class SingleLabel(Task):
    """Targets are label ids, (rows,)."""

    name = "single_label"
    handler = "text_classification_handler.py"
    problem_type = "single_label_classification"
    settings = ("temperature",)
    fewest_labels = 2
    figures: ClassVar[Mapping[str, str]] = MappingProxyType({"accuracy": "accuracy", "macro_f1": "macro-F1"})
    followed = ("accuracy", "macro_f1", "weighted_f1")
    best_by = "macro_f1"

    def labels_in(self, written: str) -> Sequence[str]:
        return (written,)

    def written(self, answer: Any, names: Sequence[str]) -> str:
        return names[int(answer)]

    def feature(self, names: Sequence[str]) -> Any:
        from datasets import ClassLabel

        return ClassLabel(names=list(names))

    def targets(self, written: Sequence[str], names: Sequence[str]) -> Targets:
        ids = {name: index for index, name in enumerate(names)}
        return np.array([ids[label] for label in written], dtype=np.int64)

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
        from torch.nn import functional

        if not smoothing:
            return functional.cross_entropy(logits, targets, reduction=reduction)
        from transformers.trainer_pt_utils import LabelSmoother

        # PyTorch's own smoothing differs from it in the last digits, and so in every model that was trained before.
        smoothed: Tensor = LabelSmoother(smoothing)({"logits": logits}, targets)
        return smoothed

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """KL(teacher ‖ student)."""
        from torch.nn import functional

        logs = functional.log_softmax(student, dim=-1), functional.log_softmax(teacher, dim=-1)
        return functional.kl_div(*logs, log_target=True, reduction="batchmean")

    def probe(self, features: npt.NDArray[np.float32], targets: Targets, steps: int) -> Probe | None:
        """A logistic regression; none of fewer than three labels, or where it cannot be fitted."""
        from sklearn.linear_model import LogisticRegression

        # Two labels share one row of weights in scikit-learn, and are learnt quickly anyway.
        if len(np.unique(targets)) < 3 or not np.isfinite(features).all():
            return None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # It need not converge, and many labels of few rows are no regression.
            warnings.simplefilter("ignore")
            try:
                found = LogisticRegression(C=INVERSE_PENALTY, max_iter=steps).fit(features, targets)
            except (ValueError, ArithmeticError, MemoryError):
                return None
        if not (np.isfinite(found.coef_).all() and np.isfinite(found.intercept_).all()):
            return None
        return Probe(found.classes_, found.coef_, found.intercept_)

    def linear_model(self) -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(random_state=0)

    def probabilities(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> npt.NDArray[np.float64]:
        return confidence.probabilities_of(logits, fitted.get("temperature", 1.0))

    def logits(self, probabilities: Probabilities) -> Logits:
        with np.errstate(divide="ignore"):  # what an answer rounds to 0 is infinitely unlikely
            logs: Logits = np.log(np.asarray(probabilities, dtype=np.float64))
        return logs

    def answers(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> Targets:
        likeliest: Targets = logits.argmax(axis=1)
        return likeliest

    def probability_of(self, answers: Targets, probabilities: Probabilities) -> Probabilities:
        return probabilities[np.arange(len(answers)), answers]

    def log_losses(
        self, logits: Logits, targets: Targets, fitted: Mapping[str, Any] = UNFITTED
    ) -> npt.NDArray[np.float64]:
        return confidence.log_losses(logits, targets, fitted.get("temperature", 1.0))

    def fit(self, logits: Logits, targets: Targets) -> confidence.Fitted:
        return confidence.choose_temperature(logits, targets)

    def scores(
        self,
        logits: Logits,
        targets: Targets,
        counted_as_wrong: Mapping[str, int] = NONE,
        fitted: Mapping[str, Any] = UNFITTED,
    ) -> dict[str, float]:
        return scores(logits, targets, counted_as_wrong)

    def figures_by_label(self, answers: Targets, targets: Targets, names: Sequence[str]) -> list[LabelFigures]:
        return figures_by_label(confusion_matrix(answers, targets, len(names)), names)

    def confusion(self, answers: Targets, targets: Targets, labels: int) -> npt.NDArray[np.int64]:
        return confusion_matrix(answers, targets, labels)

    def judge(self, features: npt.NDArray[np.floating[Any]], targets: Targets, seed: int) -> Judged:
        return judge(features, targets, seed)

    def said(self, answer: Any) -> Hashable | None:
        """The best label, be the handler sure enough of it or not."""
        try:
            return next(iter(probabilities_in(answer)), None)
        except (KeyError, TypeError):
            return None
