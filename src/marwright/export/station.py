"""Exports the compressed student, proves parity, measures and calibrates it, and records golden requests."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marwright.config import ExportConfig
from marwright.console.progress import say
from marwright.encoder.families import HuggingFaceClassifier
from marwright.encoder.logits import logits_of
from marwright.export import measuring
from marwright.export.calibrating import calibrate, in_words
from marwright.export.gpu_module import export_gpu
from marwright.export.parity import Difference, check, check_steady, compare, shape_table
from marwright.files import read_json, stable_json, write_text
from marwright.pretrained.special_tokens import SPELLED_OUT
from marwright.pretrained.tokenization import pad_id, padded, token_ids
from marwright.processes.threads import one_thread
from marwright.runtimes import RUNTIMES, Source
from marwright.schemes.stored import read_weights
from marwright.tasks.task import Targets, same
from marwright.workspace import CompressedFolder, DataFolder, ExportedFolder, ModelFolder

GOLDEN_REQUESTS = 32
CALIBRATION_ROWS = 256


# The number of threads decides in which order floats are added, and with it the last digits of what is recorded.
@one_thread()
def export(
    config: ExportConfig,
    data: DataFolder,
    student: ModelFolder,
    compressed: CompressedFolder,
    *,
    max_length: int,
    output: Path,
) -> None:
    """Write an :class:`ExportedFolder`.

    Two comparisons must hold within ``config.tolerance``. Before quantization, the exported module answers as the
    Hugging Face model. After it, the TorchScript file, loaded again, answers as the eager int8 module; other runtimes
    have no eager form of their int8. Then the golden requests must get the same answers alone and in one batch.

    Everything but the latency is the same, byte for byte, whenever it is written from the same inputs on a machine of
    the same kind; so the latency has a file of its own, which stays in the run.

    Raises:
        ExportError: one of them does not; of a comparison the message has the table of shapes.
    """
    from tokenizers import Tokenizer

    folder, task = ExportedFolder(output), data.task
    tokenizer = Tokenizer.from_file(str(student.tokenizer))
    filler = pad_id(tokenizer)
    texts, labels = _split(data, "test")
    rows = token_ids(tokenizer, texts)
    table = shape_table(rows, max_length)
    example = padded(table[5], filler)
    plan = read_json(compressed.plan)
    scheme, weights = read_weights(compressed.cpu, plan["cpu"])
    calibration = _calibration(data, tokenizer)
    source = Source(student.checkpoint, scheme, weights, config.method, example, max_length, calibration)
    made = RUNTIMES[config.runtime].export(source, folder.module(config.runtime))
    reference = HuggingFaceClassifier(student.checkpoint)
    before = compare(made.unquantized, reference, table, filler)
    check(before, config.tolerance, "before quantization")
    # And on every test row, against what the student itself answered when it was trained.
    student_logits = np.load(student.logits("test"))
    logits = logits_of(made.unquantized, rows, filler, "test answers before quantization")
    every_row = Difference(
        len(rows), min(map(len, rows)), max(map(len, rows)), float(abs(logits - student_logits).max())
    )
    check([every_row], config.tolerance, "before quantization, on every test row")
    after = [] if made.eager is None else compare(made.written, made.eager, table, filler)
    check(after, config.tolerance, "after compression, exported against eager")

    card: dict[str, Any] = {
        "runtime": config.runtime,
        "module": made.module,
        "method": made.method,
        "needs": dict(made.needs),
        "parity": {
            "tolerance": config.tolerance,
            "before": _shapes(before),
            "before_on_every_test_row": float(f"{every_row.largest:.3g}"),
            "after": _shapes(after),
        },
    }
    if compressed.gpu.is_file():
        gpu, differences = export_gpu(
            student,
            compressed,
            folder.gpu,
            method=config.method,
            tolerance=config.tolerance,
            table=table,
            filler=filler,
            example=example,
        )
        card["gpu"] = gpu | {"parity": _shapes(differences)}
        # How many train rows have which number of tokens, special tokens included and cut as the tokenizer is set.
        lengths = Counter(map(len, token_ids(tokenizer, _split(data, "train")[0])))
        write_text(folder.token_lengths, stable_json({str(length): lengths[length] for length in sorted(lengths)}))

    logits = logits_of(made.written, rows, filler, "test answers of the exported module")
    unseen, unseen_labels = _split(data, "validation")
    unseen_logits = logits_of(made.written, token_ids(tokenizer, unseen), filler, "validation answers")
    np.save(folder.logits("validation"), unseen_logits)
    np.save(folder.logits("test"), logits)
    confidence = calibrate(task, config.temperature, validation=(unseen_logits, unseen_labels), test=(logits, labels))
    card["confidence"] = confidence
    wrong = data.counted_as_wrong()
    card["test"] = task.scores(logits, labels, wrong, confidence) | {
        "rows": len(rows) + sum(wrong.values()),
        "calibration_error": confidence["test"]["after"]["expected_calibration_error"],
        "same_label_as_student": float(same(task.answers(logits), task.answers(student_logits)).mean()),
        "student_accuracy": task.scores(student_logits, labels, wrong)["accuracy"],
    }
    latency = {
        "threads": 1,
        "machine": platform.machine(),
        "exported": [measuring.latency_ms(made.written, rows, filler, batch) for batch in (1, 16)],
        "eager_fp32": [measuring.latency_ms(reference, rows, filler, batch, runs=20) for batch in (1, 16)],
    }
    write_text(folder.card, stable_json(card))
    write_text(folder.latency, stable_json(latency))
    asked = _golden_texts(texts)
    asked_rows = token_ids(tokenizer, asked)
    probabilities = task.probabilities(logits_of(made.written, asked_rows, filler, "golden requests"), confidence)
    check_steady(
        made.written,
        asked_rows,
        filler,
        lambda logits: float(abs(task.probabilities(logits, confidence) - probabilities).max()),
    )
    write_text(folder.golden, stable_json(_golden(asked, probabilities, read_json(data.labels))))
    _tell(card, latency, made.how)


def _calibration(data: DataFolder, tokenizer: Any) -> list[tuple[Tensor, Tensor]]:
    """Train rows, spread evenly over the split and padded to one length."""
    from datasets import load_from_disk

    train = load_from_disk(str(data.splits))["train"]
    chosen = train.select(range(0, len(train), max(1, len(train) // CALIBRATION_ROWS)))
    ids, mask = padded(token_ids(tokenizer, list(chosen["text"])), pad_id(tokenizer))
    return [(ids[at : at + 1], mask[at : at + 1]) for at in range(len(ids))]


def _split(data: DataFolder, name: str) -> tuple[list[str], Targets]:
    from datasets import load_from_disk

    split = load_from_disk(str(data.splits))[name]
    return list(split["text"]), np.asarray(split["label"])


def _shapes(differences: list[Difference]) -> dict[str, float]:
    largest: dict[str, float] = {}
    for difference in differences:
        largest[difference.shape] = max(largest.get(difference.shape, 0.0), float(f"{difference.largest:.3g}"))
    return largest


def _golden_texts(texts: list[str]) -> list[str]:
    """Texts spread evenly over the test split, the last one with spellings of special tokens in front."""
    chosen = np.unique(np.linspace(0, len(texts) - 1, GOLDEN_REQUESTS).astype(int)).tolist()
    *others, last = [texts[index] for index in chosen]
    return [*others, f"{SPELLED_OUT} {last}"]


def _golden(texts: list[str], probabilities: npt.NDArray[np.float64], labels: list[str]) -> list[dict[str, Any]]:
    """Each text with its five best labels and their probabilities, best first."""
    golden = []
    for index in range(len(texts)):
        best = torch.from_numpy(probabilities[index]).topk(min(5, len(labels)))
        answer = [
            {"label": labels[label], "probability": round(value, 6)}
            for value, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        golden.append({"text": texts[index], "answer": answer})
    return golden


def _tell(card: dict[str, Any], latency: dict[str, Any], how: str) -> None:
    test = card["test"]
    exact = f"{card['parity']['before_on_every_test_row']:.0e}"
    say(
        f"  {card['module']}, {how}: test logits within {exact} before quantization, "
        f"same label as the student on {test['same_label_as_student']:.2%} of test rows after it"
    )
    say(f"  test accuracy {test['accuracy']:.2%} (student in fp32 {test['student_accuracy']:.2%})")
    say(f"  {in_words(card['confidence'])}")
    for own, full in zip(latency["exported"], latency["eager_fp32"], strict=True):
        say(
            f"  {own['texts']} text{'s' if own['texts'] > 1 else ''} on one thread: {own['p50_ms']} ms "
            f"(student in fp32, not exported: {full['p50_ms']} ms)"
        )
