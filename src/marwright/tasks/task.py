"""What every task answers: how labels are read, what is learnt, how answers are scored, calibrated and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from marwright.metrics.classification import LabelFigures
from marwright.metrics.confidence import Fitted
from marwright.metrics.label_errors import Judged

if TYPE_CHECKING:  # the configuration knows tasks, and must not wait for torch
    from torch import Tensor

Logits = npt.NDArray[np.floating[Any]]
"""What a module answers, (rows, labels)."""
Probabilities = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[Any]
"""The right answers, one entry or one line for each row; the task says which."""
UNFITTED: Mapping[str, Any] = MappingProxyType({})
NONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Probe:
    """A linear model that the last layer starts from."""

    labels: npt.NDArray[np.int64]
    """Label ids that it has seen, (seen,)."""
    weights: npt.NDArray[np.float32]
    """(seen, features)."""
    biases: npt.NDArray[np.float32]
    """(seen,)."""


class Task(ABC):
    """What is asked of a text. One file each; the configuration names it.

    A model has one logit for each label, whatever the task. What is ``fitted`` is what :meth:`fit` gave.
    """

    name: ClassVar[str]
    """In ``task``."""
    handler: ClassVar[str]
    """The shipped handler that answers, a file name."""
    problem_type: ClassVar[str]
    """What transformers calls the task in a checkpoint's ``config.json``."""
    settings: ClassVar[tuple[str, ...]]
    """What :meth:`fit` gives, by the names that the archive's handler reads."""
    fewest_labels: ClassVar[int]
    figures: ClassVar[Mapping[str, str]]
    """Scores that are told of every model, and what they are called, the accuracy first."""
    followed: ClassVar[tuple[str, ...]]
    """Scores that the history of a training keeps of every epoch."""
    best_by: ClassVar[str]
    """The score that picks the best epoch."""

    # --- labels ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def labels_in(self, written: str) -> Sequence[str]:
        """The labels that a row of the table names."""

    @abstractmethod
    def written(self, answer: Any, names: Sequence[str]) -> str:
        """An answer, or a row's target, as a table would have it."""

    @abstractmethod
    def feature(self, names: Sequence[str]) -> Any:
        """The type of the column of targets in a ``datasets.Dataset``."""

    @abstractmethod
    def targets(self, written: Sequence[str], names: Sequence[str]) -> Targets:
        """What rows of the table ask to be answered; they name no labels but ``names``."""

    @abstractmethod
    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        """One label id for each row, (rows,), so that some rows of each label can be chosen."""

    # --- training -------------------------------------------------------------------------------------------------

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
        """What a model has to learn from labels.

        Args:
            logits: (rows, labels).
            targets: of the rows.
            smoothing: share of a label's weight that is spread over the others.
            reduction: over rows, ``mean`` or ``sum``.
        """

    @abstractmethod
    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """How far a student's probabilities are from a teacher's, the mean over rows; both are logits."""

    def probe(self, features: npt.NDArray[np.float32], targets: Targets, steps: int) -> Probe | None:
        """Fit a linear model on (rows, features) in at most so many steps; none if that is not worth it."""
        return None

    @abstractmethod
    def linear_model(self) -> Any:
        """A linear model of scikit-learn for :meth:`targets`, to compare with; its ``score`` is the accuracy."""

    # --- answers --------------------------------------------------------------------------------------------------

    @abstractmethod
    def probabilities(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> npt.NDArray[np.float64]:
        """Probabilities of labels, (rows, labels), as the archive gives them."""

    @abstractmethod
    def logits(self, probabilities: Probabilities) -> Logits:
        """Logits that have these :meth:`probabilities` if nothing is fitted."""

    @abstractmethod
    def answers(self, logits: Logits, fitted: Mapping[str, Any] = UNFITTED) -> Targets:
        """What is answered, in the form of :meth:`targets`."""

    @abstractmethod
    def probability_of(self, answers: Targets, probabilities: Probabilities) -> Probabilities:
        """The probability of each answer, or of each row's target, (rows,), by (rows, labels) probabilities."""

    @abstractmethod
    def log_losses(
        self, logits: Logits, targets: Targets, fitted: Mapping[str, Any] = UNFITTED
    ) -> npt.NDArray[np.float64]:
        """Minus the logarithm of the probability of each right answer, (rows,), in nats."""

    @abstractmethod
    def fit(self, logits: Logits, targets: Targets) -> Fitted:
        """Fit what an archive needs besides its module on rows that the model was not trained on."""

    @abstractmethod
    def scores(
        self,
        logits: Logits,
        targets: Targets,
        counted_as_wrong: Mapping[str, int] = NONE,
        fitted: Mapping[str, Any] = UNFITTED,
    ) -> dict[str, float]:
        """Figures of a whole split, ``accuracy`` (the share of rows whose answer is right) and ``macro_f1`` among them.

        ``counted_as_wrong`` says how many more rows there are, by labels that train lacks. Nothing can answer them
        rightly; which labels they would be given, no figure asks.
        """

    @abstractmethod
    def figures_by_label(self, answers: Targets, targets: Targets, names: Sequence[str]) -> list[LabelFigures]:
        """Precision, recall and F1 of every label, in the order of ``names``."""

    def confusion(self, answers: Targets, targets: Targets, labels: int) -> npt.NDArray[np.int64] | None:
        """Rows by right label and by answered label, (labels, labels); none where a row may have several."""
        return None

    def judge(self, features: npt.NDArray[np.floating[Any]], targets: Targets, seed: int) -> Judged | None:
        """Which rows look mislabelled by features of (rows, width); none if the task cannot tell."""
        return None

    @abstractmethod
    def said(self, answer: Any) -> Hashable | None:
        """What an answer's JSON says, so that those of two versions can be compared; none if it is no such answer."""


def same(answers: Targets, others: Targets) -> npt.NDArray[np.bool_]:
    """Which rows have the same answer, (rows,)."""
    equal: npt.NDArray[np.bool_] = (answers == others).reshape(len(answers), -1).all(axis=1)
    return equal
