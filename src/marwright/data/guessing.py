"""Guesses from a table's first rows which column holds the texts, the labels, the split and the groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_TEXTS = ("text", "texts", "sentence", "utterance", "query", "question", "message", "description", "body", "content")
_MORE_TEXTS = ("title", "subject", "headline", "product_name", "comment", "review", "summary", "name")
_LABELS = ("label", "labels", "category", "class", "intent", "target", "team", "topic", "queue", "sentiment", "tag")
_GROUPS = ("group", "customer", "customer_id", "user", "user_id", "session", "thread", "document", "heading", "brand")
_SPLITS = frozenset({"train", "test", "validation", "valid", "val", "dev"})
_MOST_SPLITS = 10
# A label has few words, and comes more than once.
_LONGEST_LABEL = 80
_MOST_LABELS_SHARE = 0.5


@dataclass(frozen=True)
class Guess:
    """Names of columns; none where no column looks like it."""

    text: str | None
    label: str | None
    split: str | None
    group: str | None


def guess(columns: Mapping[str, Sequence[str]], *, text: Sequence[str] = (), label: str | None = None) -> Guess:
    """Guess by names first, then by values of some rows; columns of texts and labels that are said are not guessed."""
    left = {name: values for name, values in columns.items() if name not in (*text, label)}

    def take(name: str | None) -> str | None:
        if name is not None:
            del left[name]
        return name

    split = take(next((name for name, values in left.items() if _is_split(values)), None))
    label = label or take(_named(left, _LABELS, _could_be_label) or _fewest_values(left))
    found = text[0] if text else take(_named(left, (*_TEXTS, *_MORE_TEXTS), _could_be_text) or _longest(left))
    group = take(_named(left, _GROUPS, _repeats))
    return Guess(found, label, split, group)


def unusual_split(columns: Mapping[str, Sequence[str]], guessed: Guess) -> str | None:
    """The column that looks like a split although its values are not the usual ones; None if one was guessed.

    A table may hold other names, or begin with many rows of train.
    """
    if guessed.split is not None:
        return None
    others = {name: values for name, values in columns.items() if name not in (guessed.text, guessed.label)}
    return next((name for name, values in others.items() if _looks_divided(values)), None)


def _named(
    columns: Mapping[str, Sequence[str]], names: Sequence[str], fits: Callable[[Sequence[str]], bool]
) -> str | None:
    folded = {name.strip().lower(): name for name in columns}
    return next((folded[name] for name in names if name in folded and fits(columns[folded[name]])), None)


def _fewest_values(columns: Mapping[str, Sequence[str]]) -> str | None:
    fitting = {name: len(set(values)) for name, values in columns.items() if _could_be_label(values)}
    # The text itself may repeat; of what is left, labels have the fewest values.
    return min(fitting, key=lambda name: fitting[name]) if len(columns) > 1 and fitting else None


def _longest(columns: Mapping[str, Sequence[str]]) -> str | None:
    fitting = {name: sum(map(len, values)) / len(values) for name, values in columns.items() if _could_be_text(values)}
    return max(fitting, key=lambda name: fitting[name]) if fitting else None


def _is_split(values: Sequence[str]) -> bool:
    found = {value.strip().lower() for value in values}
    return {"train", "test"} <= found <= _SPLITS


def _looks_divided(values: Sequence[str]) -> bool:
    found = {value.strip().lower() for value in values}
    return "train" in found and len(found) <= _MOST_SPLITS


def _could_be_label(values: Sequence[str]) -> bool:
    found = set(values) - {""}
    return len(found) >= 2 and _repeats(values) and max(map(len, found)) <= _LONGEST_LABEL


def _could_be_text(values: Sequence[str]) -> bool:
    return any(any(letter.isalpha() for letter in value) for value in values)


def _repeats(values: Sequence[str]) -> bool:
    return len(set(values)) <= max(2, _MOST_LABELS_SHARE * len(values))
