"""Splits as token ids, and the batches a trainer takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from marwright.pretrained.tokenization import padded, token_ids
from marwright.tasks.task import Targets
from marwright.workspace import SPLITS, DataFolder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class TokenizedSplit(torch.utils.data.Dataset[dict[str, Any]]):
    """Token ids and targets of one split, optionally with a teacher's logits."""

    rows: list[list[int]]
    labels: Targets
    teacher_logits: npt.NDArray[np.float32] | None = None
    counted_as_wrong: Mapping[str, int] = field(default_factory=dict)
    """Rows that scores count besides, by label (:meth:`DataFolder.counted_as_wrong`)."""
    # Trainer's grouping by length reads it.
    column_names: ClassVar[list[str]] = ["length"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if index == "length":
            return [len(row) for row in self.rows]
        example: dict[str, Any] = {"input_ids": self.rows[index], "labels": self.labels[index]}
        if self.teacher_logits is not None:
            example["teacher_logits"] = self.teacher_logits[index]
        return example


@dataclass(frozen=True)
class Collator:
    """Pads examples to the longest of their batch."""

    filler: int

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Return ids and attention mask of shape (batch, longest), labels, and teacher logits where given."""
        ids, mask = padded([example["input_ids"] for example in examples], self.filler)
        batch = {"input_ids": ids, "attention_mask": mask}
        batch["labels"] = torch.from_numpy(np.asarray([example["labels"] for example in examples]))
        if "teacher_logits" in examples[0]:
            batch["teacher_logits"] = torch.from_numpy(np.stack([example["teacher_logits"] for example in examples]))
        return batch


def tokenized_splits(data: DataFolder, tokenizer: Tokenizer) -> dict[str, TokenizedSplit]:
    """Tokenize every split of a data folder."""
    from datasets import load_from_disk

    splits = load_from_disk(str(data.splits))
    return {
        name: TokenizedSplit(
            token_ids(tokenizer, splits[name]["text"]),
            np.asarray(splits[name]["label"]),
            counted_as_wrong=data.counted_as_wrong(name),
        )
        for name in SPLITS
    }
