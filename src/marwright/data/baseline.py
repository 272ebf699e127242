"""A linear model on word counts: how far one gets without a transformer, and how much a random split flatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marwright.data.labels import labels_of
from marwright.errors import DataError
from marwright.sources.rows import Row
from marwright.tasks import Task
from marwright.tasks.task import NONE

# Words of all train texts, times labels: a machine for each label reads them again and again. Counted and not timed, so
# that the same rows give the same figure everywhere; a minute or so on one core.
MOST_WORK = 1.0e9
# On average: what has fewer rows for its labels says nothing.
MEAN_ROWS_PER_LABEL = 2


def baseline_accuracy(rows: Sequence[Row], task: Task, counted_as_wrong: Mapping[str, int] = NONE) -> float:
    """Test accuracy of the task's linear model on TF-IDF of words and word pairs, trained on train.

    Of a table that would take too long, rows are left out at random. Rows that are counted as wrong, by label, are more
    test rows that nobody can answer rightly.

    Raises:
        DataError: there can be no such figure; the sentence says why.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train = [row for row in rows if row.split == "train"]
    test = [row for row in rows if row.split == "test"]
    names = sorted(labels_of(train + test, task))
    labels = len(labels_of(train, task))
    if labels < task.fewest_labels or not test:
        raise DataError("there is nothing to tell apart" if test else "there are no test rows")
    # Words of one letter and punctuation count too: a table of those alone would otherwise have no vocabulary.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    try:
        counts = words.fit_transform([row.text for row in train])
        # Two labels share one machine.
        share = MOST_WORK / max(1.0, counts.nnz * (labels if labels > 2 else 1))
        kept = np.arange(len(train))
        if share < 1:
            kept = np.sort(np.random.default_rng(0).permutation(len(train))[: int(share * len(train))])
        if len(kept) < MEAN_ROWS_PER_LABEL * labels and share < 1:
            raise DataError(f"{labels:,} labels of {len(train):,} rows would take too long")
        targets, right = (task.targets([row.label for row in part], names) for part in (train, test))
        model = task.linear_model().fit(counts[kept], targets[kept])
        answerable = len(test) / (len(test) + sum(counted_as_wrong.values()))
        return float(answerable * model.score(words.transform([row.text for row in test]), right))
    except (ValueError, ArithmeticError, MemoryError) as error:
        raise DataError(f"it cannot be fitted ({' '.join(str(error).split())[:100]})") from error
