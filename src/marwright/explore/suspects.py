"""Train rows that look mislabelled, found once for a run and kept beside its report.

The features are those of the teacher's checkpoint before its training: the trained teacher has learnt the wrong labels
by heart. Nothing here can stop a build or a report, and there is a limit to the time it takes.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import load_from_disk
from tokenizers import Tokenizer

from marwright.config import Config
from marwright.console.progress import say, track
from marwright.errors import MarwrightError
from marwright.files import replacing, stable_json, write_text
from marwright.metrics.label_errors import FEWEST_ROWS
from marwright.pretrained.checkpoints import quiet_transformers, resolve
from marwright.pretrained.tokenization import batches_by_length, pad_id, padded, token_ids
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.road.freshness import digest_if_fresh, fingerprint, recorded_digest, write_stamp
from marwright.workspace import Run

REVISION = 1
COLUMNS = ("row", "text", "label", "self_confidence", "likelier_label", "likelier_probability")
MOST_ROWS = 50_000
MOST_SECONDS = 600.0
"""After that no more features are computed, and the rows that have features are judged."""
MOST_TOKENS = 128
PART = 1024
BATCH = 32


def find_suspects(config: Config, run: Run) -> bool:
    """Write a run's ``suspects.csv`` and what it is about, unless they are fresh.

    Returns:
        whether they are there; if not, the user has been told why.
    """
    try:
        return _find(config, run)
    # Whatever goes wrong with a checkpoint or in memory: a report without suspects is still a report.
    except Exception as error:
        run.suspects.unlink(missing_ok=True)
        lines = str(error).strip().splitlines()
        say(f"  no search for mislabelled rows: {lines[0] if lines else type(error).__name__}")
        return False


def _find(config: Config, run: Run) -> bool:
    settings = {"checkpoint": config.teacher.checkpoint, "seed": config.seed}
    made_from = fingerprint(REVISION, settings, {"data": recorded_digest(run.stamp("data"))})
    stamp = run.stamp("suspects")
    if digest_if_fresh(stamp, made_from, run.suspects) is not None and run.about_suspects.is_file():
        return True
    stamp.unlink(missing_ok=True)
    train = load_from_disk(str(run.data.splits))["train"]
    names, texts, labels = train.features["label"].names, list(train["text"]), np.asarray(train["label"])
    order = np.random.default_rng(config.seed).permutation(len(texts))[:MOST_ROWS]
    tokenizer = load_tokenizer(config.teacher.checkpoint, MOST_TOKENS)
    features = features_of(config.teacher.checkpoint, tokenizer, [texts[at] for at in order])
    rows = order[: len(features)]
    judged = run.data.task.judge(features, labels[rows], config.seed)
    if judged is None:
        raise MarwrightError(f"nobody has told how to find them for {run.data.task.name}")
    found = judged.suspects
    about = {
        "rows": len(texts),
        "judged": int(judged.known.sum()),
        "of_rare_labels": int((~judged.known).sum()),
        "suspects": len(found),
    }
    with replacing(run.suspects) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for at in found:
            row = int(rows[at])
            own, other = (f"{each[at]:.6f}" for each in (judged.self_confidence, judged.probability))
            writer.writerow((row, texts[row], names[labels[row]], own, names[judged.likeliest[at]], other))
    write_text(run.about_suspects, stable_json(about))
    write_stamp(stamp, made_from, run.suspects)
    say(f"  {in_words(about)}: {run.suspects}")
    return True


def in_words(about: dict[str, Any]) -> str:
    """What was looked at, and what was found, in a line."""
    told = f"{about['suspects']:,} of {about['judged']:,} train rows look more like another label than like their own"
    if about["of_rare_labels"]:
        told += f"; {about['of_rare_labels']:,} rows of labels with fewer than {FEWEST_ROWS} were not judged"
    left = about["rows"] - about["judged"] - about["of_rare_labels"]
    return told + (f"; {left:,} more were not looked at, to save time" if left else "")


def features_of(checkpoint: str, tokenizer: Tokenizer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The mean of the last hidden states over each text's tokens; shape (rows, width).

    Rows are in the order of the texts; there are fewer of them than texts if :data:`MOST_SECONDS` were up.
    """
    from transformers import AutoModel

    quiet_transformers()
    where: str | Path = resolve(checkpoint)
    model = AutoModel.from_pretrained(where, dtype=torch.float32).eval()
    ends = time.monotonic() + MOST_SECONDS
    parts: list[npt.NDArray[np.float32]] = []
    for start in track(range(0, len(texts), PART), "looking for mislabelled rows", total=-(-len(texts) // PART)):
        ids = token_ids(tokenizer, texts[start : start + PART])
        part = np.zeros((len(ids), model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for batch in batches_by_length(ids, BATCH):
                rows, mask = padded([ids[at] for at in batch], pad_id(tokenizer))
                states = model(input_ids=rows, attention_mask=mask, return_dict=True).last_hidden_state.float()
                weights = mask[..., None].float()
                part[batch] = ((states * weights).sum(1) / weights.sum(1).clamp(min=1)).numpy()
        parts.append(part)
        if time.monotonic() > ends:
            break
    return np.concatenate(parts)
