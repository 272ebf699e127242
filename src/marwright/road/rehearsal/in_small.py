"""A model goes the whole road in small, before it is trained.

With the weights it has: a step of training, a copy written and read again, texts alone and in a batch. Where
marwright's own encoder computes it, it must answer as transformers do; other families are tried in int8 and 16 bits,
and traced.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import load_from_disk
from torch import Tensor, nn

from marwright.config import Config, StudentConfig
from marwright.console.progress import say
from marwright.data.legibility import MOST_TEXTS, check_legibility, legibility, tell_legibility
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import HuggingFaceClassifier, load_module
from marwright.errors import MarwrightError, TrainingError, first_line
from marwright.files import read_json
from marwright.pretrained.encoder_facts import facts_of, read_facts
from marwright.pretrained.tokenization import pad_id, padded, token_ids
from marwright.pretrained.tokenizer import load_tokenizer
from marwright.processes.launched import is_main
from marwright.runtimes import RUNTIMES
from marwright.runtimes.jit import to_torchscript
from marwright.schemes import SCHEMES, Texts
from marwright.tasks import TASKS, Task
from marwright.training.augmentation import mask_id
from marwright.training.checkpoint import freeze_word_embeddings, load_classifier, start_student, where_layers_are
from marwright.training.objective import HiddenStateDistance
from marwright.workspace import DataFolder

# Of a very long text the beginning is enough, many times over.
LONGEST_TEXT = 200
# A text's answer may move by this share of the answers' range when others stand beside it.
MOST_LEAK = 0.02
# What was loaded again computes the same sums, if not in the same order.
ALIKE = 1e-3


def rehearse(config: Config, data: DataFolder, work: Path) -> None:
    """Take a model the whole road in small, before it is trained.

    A copy of its weights is written into ``work`` for a moment. Of several processes the main one does it; if it fails,
    its launcher ends the others.

    Raises:
        MarwrightError: a step of the road cannot be done; the sentence names family and step.
    """
    if not is_main():
        return
    student = config.student if isinstance(config.student, StudentConfig) else None
    checkpoint, length, task = config.teacher.checkpoint, config.teacher.max_length, TASKS[config.task]
    if student is not None and student.augmentation is not None:
        mask_id(load_tokenizer(checkpoint, length))
    if student is not None and student.checkpoint is not None:
        _check_reading(config, student.checkpoint, data)
    labels = read_json(data.labels)
    if not all(read_facts(each).scripted for each in (checkpoint, student and student.checkpoint) if each):
        say("  rehearsal: the whole road in small, with the weights as they are")
    teacher = load_classifier(checkpoint, labels)
    texts = _texts(checkpoint, data, length)
    with _trying(checkpoint, teacher, "trained"):
        _train_a_step(teacher, texts, task, freeze=config.teacher.freeze_word_embeddings)
    served = teacher if student is None else start_student(student, teacher, labels)
    if student is not None and student.checkpoint is not None:
        checkpoint = student.checkpoint
        texts = _texts(checkpoint, data, length)
        with _trying(checkpoint, served, "trained"):
            _train_a_step(served, texts, task, freeze=student.freeze_word_embeddings)
    _check_techniques(config, student, teacher, served, texts, checkpoint)
    if student is not None and (student.shape or student.bilstm):
        return  # a fresh BERT or Bi-LSTM: marwright's own encoder computes it
    with_layers = student is not None and student.layers is not None
    what = "exported with student.layers (and perhaps without)" if with_layers else "exported"
    with _trying(checkpoint, served, what):
        _export(config, served, texts, checkpoint, work)


def _check_reading(config: Config, checkpoint: str, data: DataFolder) -> None:
    """Judge what a student with a tokenizer of its own can read; of the teacher's the data station has told."""
    train = load_from_disk(str(data.splits))["train"]
    texts = list(train.select(range(0, len(train), -(-len(train) // MOST_TEXTS)))["text"])
    tokenizer = load_tokenizer(checkpoint, config.archive.max_characters)
    found = legibility(tokenizer, texts)
    tell_legibility(found, checkpoint, tokenizer)
    if config.data.unknown_tokens == "refuse":
        check_legibility(found, checkpoint)


@contextmanager
def _trying(checkpoint: str, model: Any, what: str) -> Iterator[None]:
    try:
        yield
    except MarwrightError:
        raise
    # What transformers and torch raise has no common parent.
    except Exception as error:
        family = model.config.model_type
        cure = "Take another encoder, such as BERT, RoBERTa, DeBERTa or ModernBERT"
        if facts_of(model.config).scripted:
            cure = f"Other models of the family {family} can: compare its config.json with theirs, or take one of them"
        raise TrainingError(
            f"{checkpoint}: a model of the family {family} cannot be {what} here ({first_line(error)[:200]}). {cure}."
        ) from error


def _texts(checkpoint: str, data: DataFolder, max_length: int) -> Texts:
    """Texts that are as long as can be, half as long and very short, each with its beginning and end."""
    tokenizer = load_tokenizer(checkpoint, max_length)
    texts = list(load_from_disk(str(data.splits))["train"].select(range(1))["text"])
    texts[0] = texts[0][:LONGEST_TEXT]
    around = len(tokenizer.encode("").ids)
    ids = token_ids(tokenizer, [" ".join(texts * max_length)])[0]
    first, last = (ids[:1], ids[-1:]) if around else ([], [])
    inner = ids[len(first) : len(ids) - len(last)]
    lengths = sorted({len(inner), max(1, len(inner) // 2), 1}, reverse=True)
    return Texts([[*first, *inner[:length], *last] for length in lengths], pad_id(tokenizer))


def _train_a_step(model: Any, texts: Texts, task: Task, *, freeze: bool) -> None:
    if freeze:
        freeze_word_embeddings(model)
    ids, mask = padded(texts.rows, texts.filler)
    model.train()
    logits = model(input_ids=ids, attention_mask=mask).logits
    if not torch.isfinite(logits).all():
        raise ValueError("its answers are no numbers, but NaN or infinite")
    names = [str(index) for index in range(logits.size(1))]
    loss = task.loss(logits, torch.from_numpy(task.targets(names[:1] * len(ids), names)))
    torch.autograd.backward(loss)
    model.zero_grad()
    model.eval()


def _check_techniques(
    config: Config,
    student: StudentConfig | None,
    teacher: Any,
    served: Any,
    texts: Texts,
    checkpoint: str,
) -> None:
    if config.pruning is not None or config.compression.quantization_aware is not None:
        where_layers_are(served, "pruning" if config.pruning is not None else "compression.quantization_aware")
    if student is not None and student.hidden_weight:
        with _trying(checkpoint, served, "compared with its teacher (student.hidden_weight)"):
            ids, mask = padded(texts.rows, texts.filler)
            distance = HiddenStateDistance(teacher, served.config.hidden_size)
            states = served(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
            distance(states, ids, mask)


def _export(config: Config, model: Any, texts: Texts, checkpoint: str, work: Path) -> None:
    """Write and read again; compare with marwright's own encoder, or make smaller and trace."""
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="rehearsal-") as folder:
        model.save_pretrained(folder)
        module = HuggingFaceClassifier(Path(folder))
        own = load_module(Path(folder), "script")
    batch = padded(texts.rows, texts.filler)
    with torch.inference_mode():
        together = module(*batch)
        alone = torch.cat([module(*padded([row], texts.filler)) for row in texts.rows])
        before = model.eval()(input_ids=batch[0], attention_mask=batch[1]).logits.float()
    span = float(alone.max() - alone.min()) or 1.0
    if not float((before - together).abs().max()) <= ALIKE * span:
        raise TrainingError(
            f"{checkpoint}: with student.layers a {model.config.model_type} is another one when loaded again; its "
            "layers are not all alike. Let the list begin with layer 0 and go on in order, or write `student: none`."
        )
    if not float((together - alone).abs().max()) <= MOST_LEAK * span:
        raise TrainingError(
            f"{checkpoint}: what a {model.config.model_type} answers to a text depends on the texts beside it in a "
            f"batch, by {float((together - alone).abs().max()) / span:.0%}: it reads the padding. Take another, "
            "such as BERT, RoBERTa, DeBERTa or ModernBERT."
        )
    if isinstance(own, Encoder):
        with torch.inference_mode():
            off = float((own(*batch) - together).abs().max())
        if not off <= max(config.export.tolerance, ALIKE * span):
            raise ValueError(f"marwright's own encoder answers otherwise than transformers, by {off:.1g}")
    elif RUNTIMES[config.export.runtime].traces:
        _trace(config, module, texts)


def _trace(config: Config, module: nn.Module, texts: Texts) -> None:
    """Trace what goes to CPUs, and what goes to GPUs, and try both with other shapes than they were traced with."""
    rows, filler = texts.rows, texts.filler
    schemes = [each for name in config.compression.schemes if not (each := SCHEMES[name]).hindrance(module)][:1]
    schemes += [SCHEMES[config.compression.gpu]] if config.compression.gpu != "none" else []
    forms = []
    for scheme in schemes:
        fitted = scheme.fit(module, texts, int8_embeddings=config.compression.embeddings == "int8")
        forms.append(scheme.build(copy.deepcopy(module), fitted.weights))
    example = padded(rows[1:] or rows, filler)
    others: list[tuple[Tensor, Tensor]] = [padded(rows[:1], filler), padded([*rows, *rows], filler)]
    for form in forms:
        compiled = to_torchscript(form.eval(), example, script=False)
        with torch.inference_mode():
            for batch in others:
                expected = form(*batch).float()
                off = float((compiled(*batch).float() - expected).abs().max())
                if not off <= max(config.export.tolerance, MOST_LEAK * float(expected.abs().max())):
                    raise ValueError("traced with one shape, it answers otherwise with another")
