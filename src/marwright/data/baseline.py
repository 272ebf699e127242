"""A linear model on word counts: how far one gets without a transformer, and how much a random split flatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from marwright.data.rows import Row

NONE: Mapping[str, int] = MappingProxyType({})


def baseline_accuracy(rows: Sequence[Row], counted_as_wrong: Mapping[str, int] = NONE) -> float:
    """Test accuracy of a linear support vector machine on TF-IDF of words and word pairs, trained on train.

    Args:
        rows: of train and test.
        counted_as_wrong: how many more test rows nobody can answer rightly, by label.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    train = [row for row in rows if row.split == "train"]
    test = [row for row in rows if row.split == "test"]
    # Words of one letter and punctuation count too: a table of those alone would otherwise have no vocabulary.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    model = make_pipeline(words, LinearSVC(random_state=0))
    model.fit([row.text for row in train], [row.label for row in train])
    share = len(test) / (len(test) + sum(counted_as_wrong.values()))
    return share * float(model.score([row.text for row in test], [row.label for row in test]))
