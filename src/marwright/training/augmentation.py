"""More texts for a teacher to answer: words hidden and phrases cut out of real ones (Tang et al. 2019).

A table of a few thousand rows shows a student only a corner of what its teacher knows. The teacher's answers to altered
texts show more of it; their labels would be guesses, which is why this helps with a teacher and less without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from marwright.config import AugmentationConfig, TrainingPrecision
from marwright.console.progress import say
from marwright.errors import TrainingError
from marwright.files import replacing
from marwright.processes.launched import is_main, wait_for_all
from marwright.training.answers import logits_of
from marwright.training.dataset import TokenizedSplit
from marwright.training.precision import soft_targets_in
from marwright.training.session import Session
from marwright.workspace import DataFolder

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

LONGEST_PHRASE = 5


def mask_id(tokenizer: Tokenizer) -> int:
    """The id that stands for a hidden word.

    Raises:
        TrainingError: the tokenizer has none.
    """
    for token in ("[MASK]", "<mask>"):
        if (found := tokenizer.token_to_id(token)) is not None:
            return int(found)
    raise TrainingError("student.augmentation hides words behind [MASK] or <mask>, and this tokenizer has neither.")


def altered(
    encodings: Sequence[Encoding], config: AugmentationConfig, hidden_word: int, seed: int
) -> tuple[list[list[int]], npt.NDArray[np.int64]]:
    """Make altered copies of texts; those that come out as another text, or twice, are left out.

    Return token ids of each copy, and the index of the text that it was made from.
    """
    chance = np.random.default_rng(seed)
    seen = {tuple(encoding.ids) for encoding in encodings}
    rows: list[list[int]] = []
    origins: list[int] = []
    for _ in range(config.copies):
        for origin, encoding in enumerate(encodings):
            row = _altered(encoding, config, hidden_word, chance)
            if tuple(row) not in seen:
                seen.add(tuple(row))
                rows.append(row)
                origins.append(origin)
    return rows, np.asarray(origins, dtype=np.int64)


def with_altered_texts(
    session: Session,
    train: TokenizedSplit,
    config: AugmentationConfig,
    data: DataFolder,
    teacher: Any | None,
    precision: TrainingPrecision,
) -> TokenizedSplit:
    """The train split with altered copies after it, each with its text's label and the teacher's answer to the copy.

    Without a teacher the answers are zeros, for a student that learns from labels alone. The teacher's are kept in
    the session's ``work``, where a killed run finds them.

    Raises:
        TrainingError: the tokenizer has no token for a hidden word.
    """
    from datasets import load_from_disk

    assert train.teacher_logits is not None
    encodings = session.tokenizer.encode_batch(list(load_from_disk(str(data.splits))["train"]["text"]))
    rows, origins = altered(encodings, config, mask_id(session.tokenizer), session.seed)
    labels = train.labels[origins]
    say(f"  student: {len(rows):,} altered texts beside {len(train):,} real ones")
    if teacher is None:
        answers = np.zeros((len(rows), train.teacher_logits.shape[1]), dtype=np.float32)
    else:
        copies, dtype = TokenizedSplit(rows, labels), soft_targets_in(precision)
        answers = _answers(teacher, copies, session.collator.filler, dtype, session.work / "altered_answers.npy")
    answers = np.concatenate([train.teacher_logits, answers])
    return TokenizedSplit(train.rows + rows, np.concatenate([train.labels, labels]), answers)


def _answers(
    teacher: Any, copies: TokenizedSplit, filler: int, dtype: torch.dtype, file: Path
) -> npt.NDArray[np.float32]:
    """What the teacher answers, from the file if a killed run has left it."""
    if is_main() and not file.is_file():
        found = logits_of(teacher, copies, filler, "teacher: answers to altered texts", dtype=dtype)
        with replacing(file) as partial, partial.open("wb") as opened:
            np.save(opened, found)
    wait_for_all()
    answers: npt.NDArray[np.float32] = np.load(file)
    return answers


def _altered(
    encoding: Encoding, config: AugmentationConfig, hidden_word: int, chance: np.random.Generator
) -> list[int]:
    """Whole words are hidden or cut, never pieces of them; special tokens, which belong to no word, stay."""
    words = sorted({word for word in encoding.word_ids if word is not None})
    hidden = {word for word in words if chance.random() < config.mask}
    kept = set(words)
    if words and chance.random() < config.ngram:
        length = int(chance.integers(1, LONGEST_PHRASE + 1))
        start = int(chance.integers(0, max(1, len(words) - length + 1)))
        kept = set(words[start : start + length])
    return [
        hidden_word if word in hidden else token
        for token, word in zip(encoding.ids, encoding.word_ids, strict=True)
        if word is None or word in kept
    ]
