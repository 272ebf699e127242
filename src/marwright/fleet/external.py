"""The bare ONNX module with its tokenizer, in the layout of a Hugging Face repository."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marwright.errors import ExportError
from marwright.files import filling, read_json, stable_json, write_text
from marwright.fleet.finished import temperature_of
from marwright.mar.golden import GoldenRequest, parsed
from marwright.tasks import Task
from marwright.workspace import ModelFolder, Run

MODULE = "model.onnx"
# What BERT's family calls a special token, and RoBERTa's.
SPECIAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


def export_external(run: Run, model: ModelFolder, folder: Path) -> None:
    """Write what servers for Hugging Face models take: ``model.onnx``, ``config.json`` and the tokenizer's files.

    Before the folder, absent or empty until then, is moved into place, ``AutoTokenizer`` and ONNX Runtime read it and
    answer the golden requests.

    Raises:
        ExportError: the run's module is no ONNX file, or the folder does not answer as the module did.
        MarwrightError: the folder has something in it, or cannot be written.
    """
    runtime = read_json(run.exported.card)["runtime"]
    if runtime != "onnxruntime":
        raise ExportError(
            f"{run.exported.root}: its module is for {runtime}, and other servers take ONNX. "
            "Build it with --set export.runtime=onnxruntime."
        )
    with filling(folder) as partial:
        shutil.copyfile(run.exported.module(runtime), partial / MODULE)
        shutil.copyfile(model.tokenizer, partial / "tokenizer.json")
        settings, special = _tokenizer_settings(model.tokenizer)
        write_text(partial / "tokenizer_config.json", stable_json(settings))
        write_text(partial / "special_tokens_map.json", stable_json(special))
        write_text(partial / "config.json", stable_json(_model_settings(run, model)))
        _prove(partial, parsed(run.exported.golden.read_bytes()), run.data.task, temperature_of(run))


def _tokenizer_settings(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What ``tokenizer.json`` does not say in the way that ``AutoTokenizer`` reads, and its special tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    special = {
        role: name
        for role, names in SPECIAL_TOKENS.items()
        for name in names
        if tokenizer.token_to_id(name) is not None
    }
    settings: dict[str, Any] = {
        # The name that every version of transformers knows for a tokenizer.json.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        # What looks like a special token in a text is text, as the model has learnt it.
        "split_special_tokens": True,
    }
    if tokenizer.truncation is not None:
        settings["model_max_length"] = tokenizer.truncation["max_length"]
    return settings | special, special


def _model_settings(run: Run, model: ModelFolder) -> dict[str, Any]:
    labels = read_json(run.data.labels)
    settings: dict[str, Any] = read_json(model.checkpoint / "config.json")
    return settings | {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": run.data.task.problem_type,
    }


def _prove(folder: Path, golden: Sequence[GoldenRequest], task: Task, temperature: float) -> None:
    """Answer the golden requests as one padded batch, with nothing but the folder; others take softmax as it is."""
    from onnxruntime import InferenceSession
    from transformers import AutoConfig, AutoTokenizer

    from marwright.pretrained.checkpoints import quiet_transformers

    quiet_transformers()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = AutoConfig.from_pretrained(folder).id2label
    feeds = tokenizer([one.text for one in golden], truncation=True, padding=True, return_tensors="np")
    session = InferenceSession(str(folder / MODULE), providers=["CPUExecutionProvider"])
    # Some releases of transformers give token types that were not asked for.
    wanted = {each.name: feeds[each.name] for each in session.get_inputs()}
    logits = session.run(["logits"], wanted)[0]
    probabilities = task.probabilities(logits, {"temperature": temperature})
    for request, row in zip(golden, probabilities, strict=True):
        best = row.argsort()[::-1][: len(request.answer)]
        if mistake := request.mistake({labels[int(index)]: float(row[index]) for index in best}):
            raise ExportError(f"The folder does not answer as the exported module did: {mistake}.")
