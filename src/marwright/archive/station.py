"""Assembles an archive, has its own handler answer the golden requests, and only then puts it into the model store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from marwright import __version__
from marwright.archive.graph_buckets import graph_buckets
from marwright.archive.model_card import model_card
from marwright.config import ArchiveConfig, GpuServingConfig
from marwright.console.progress import say
from marwright.files import read_json, stable_json
from marwright.mar import layout
from marwright.mar.golden import parsed
from marwright.mar.handler_modules import SERVING
from marwright.mar.model_config import model_config
from marwright.mar.training_digests import TrainingDigests
from marwright.mar.worker import prove
from marwright.mar.writing import Contents, Manifest, packed, source_date
from marwright.metrics.confidence import selective_accuracy
from marwright.pretrained.tokenization import token_ids
from marwright.resources import shipped
from marwright.runtimes import RUNTIMES
from marwright.tasks import SINGLE_LABEL
from marwright.tasks.task import same
from marwright.workspace import Run

IN_CARD = ("origin", "rows", "labels", "labels_without_test_rows", "majority_share", "tokens", "baseline")
ALSO_IN_CARD = ("text", "counted_as_wrong")
"""What the card repeats of the data's own, the latter where there is any."""

TECHNIQUES = ("pruning", "quantization_aware")
"""What the card repeats of the models' own metrics."""


def build_archive(
    config: ArchiveConfig, run: Run, *, name: str, file: Path, trained: Sequence[str] = ("teacher", "student")
) -> None:
    """Write the archive of a run, with the model of the last of the stations that trained one.

    Raises:
        ArchiveError: two files would have one name, the handler cannot be loaded, or it does not answer the golden
            requests as the exported module did. The old archive, if there is one, then stays.
    """
    handler = shipped("handlers") / run.data.task.handler if config.handler is None else config.handler
    contents = _contents(config, run, handler, name, trained)
    # Left by a build that was killed just here.
    for pattern in (f".{file.name}.*.partial", f"..{file.name}.*.partial"):
        for stale in file.parent.glob(pattern):
            stale.unlink()
    manifest = Manifest(name=name, version=config.version, handler=handler.name, module=run.exported.cpu.name)
    with packed(contents, file, manifest) as partial:
        if config.handler is None:
            golden = parsed(run.exported.golden.read_bytes())
            prove(partial, golden, read_json(run.data.card).get("text", {}).get("fields") or ())
    say(f"  {file}: {file.stat().st_size / 1e6:.1f} MB; its handler answers the golden requests as the build did")


def _contents(config: ArchiveConfig, run: Run, handler: Path, name: str, trained: Sequence[str]) -> Contents:
    from datasets import load_from_disk

    from marwright.mar.sbom import bill_of_materials

    contents, task = Contents(), run.data.task
    exported = read_json(run.exported.card)
    runtime = exported["runtime"]
    cpu = run.exported.cpu
    contents.add(cpu.name, cpu)
    modules: dict[str, Any] = {
        "cpu": {"file": cpu.name, "runtime": RUNTIMES[runtime].handler_module, **exported["needs"]}
    }
    sizes = {"CPUs": cpu.stat().st_size}
    on_gpu = run.exported.gpu.is_file()
    if on_gpu:
        contents.add(layout.GPU_MODULE, run.exported.gpu)
        sizes["GPUs"] = run.exported.gpu.stat().st_size
        modules["cuda"] = _on_gpus(config, run, exported["gpu"], run.model(trained[-1]).tokenizer)
    contents.add(layout.TOKENIZER, run.model(trained[-1]).tokenizer)
    if config.training_digests:
        tokenizer = Tokenizer.from_file(str(run.model(trained[-1]).tokenizer))
        texts = load_from_disk(str(run.data.splits))["train"]["text"]
        contents.add(layout.TRAINING_DIGESTS, TrainingDigests.of(tokenizer, texts).as_json())
    labels = read_json(run.data.labels)
    # Plain ASCII: TorchServe reads this file in the locale's encoding. In the order of ids, not of their digits.
    contents.add(layout.LABELS, json.dumps({str(i): label for i, label in enumerate(labels)}, indent=2) + "\n")
    golden = read_json(run.exported.golden)
    # Another handler gives other answers, which nobody has recorded; its requests are still worth having.
    requests = golden if config.handler is None else [{"text": request["text"]} for request in golden]
    contents.add(layout.GOLDEN, stable_json(requests))
    setup = {
        "threads": config.threads,
        "top_k": config.top_k,
        "min_confidence": config.min_confidence,
        **{name: exported["confidence"][name] for name in task.settings},
        **({} if task.name == SINGLE_LABEL else {"task": task.name}),
        "max_instances": config.max_instances,
        "max_characters": config.max_characters,
        "text": read_json(run.data.card).get("text", {}),
        "max_answer_bytes": config.max_answer_bytes,
        "modules": modules,
        "warm_up": [{"text": request["text"]} for request in golden],
    }
    contents.add(layout.SETUP, stable_json(setup))
    packages = (*SERVING, *RUNTIMES[runtime].packages)
    contents.add(layout.MODEL_CONFIG, worker_settings(config, on_gpu=on_gpu))
    card = _card(config, run, name, trained)
    contents.add(layout.CARD, stable_json(card))
    contents.add(layout.MODEL_CARD, model_card(card, labels, config, sizes=sizes))
    contents.add(layout.SBOM, bill_of_materials(name, config.version, packages, source_date()))
    contents.add_handler(handler, {module["runtime"] for module in modules.values()})
    return contents


def _on_gpus(config: ArchiveConfig, run: Run, exported: dict[str, Any], tokenizer: Path) -> dict[str, Any]:
    """What the handler is told of the module for GPUs."""
    module = {"file": layout.GPU_MODULE, "runtime": layout.TORCHSCRIPT, "precision": exported["precision"]}
    serving = config.gpu or GpuServingConfig()
    longest = exported["recordable_tokens"]
    if not longest or not serving.graph_megabytes:
        return module
    lengths = {int(length): count for length, count in read_json(run.exported.token_lengths).items()}
    buckets = graph_buckets(lengths, max(serving.batch_size, config.batch_size), longest)
    texts = [request["text"] for request in read_json(run.exported.golden)]
    return module | {
        "runtime": layout.CUDA_GRAPHS,
        "buckets": buckets,
        "graph_megabytes": serving.graph_megabytes,
        # What a recorded graph must answer as the module does; a runtime has no tokenizer.
        "golden_ids": token_ids(Tokenizer.from_file(str(tokenizer)), texts),
    }


def worker_settings(config: ArchiveConfig, *, on_gpu: bool) -> str:
    """TorchServe's settings for this model."""
    gpu = config.gpu
    devices = gpu.device_ids if gpu is not None else ()
    batches = gpu or config
    # Left to itself TorchServe gives a GPU of the machine to a module that cannot use it. With a GPU's section it takes
    # the CPU where it finds no GPU, and ignores a list with a GPU that it does not find.
    device: Literal["cpu", "gpu"] | None = "cpu" if not on_gpu else "gpu" if gpu is not None else None
    return model_config(
        batch_size=batches.batch_size,
        max_batch_delay_ms=batches.max_batch_delay_ms,
        response_timeout_s=config.response_timeout_s,
        # Left to itself TorchServe starts a worker for each GPU of the server, whichever are named.
        workers=config.workers or len(devices),
        device=device,
        device_ids=devices if on_gpu else (),
    )


def _card(config: ArchiveConfig, run: Run, name: str, trained: Sequence[str]) -> dict[str, Any]:
    models = {station: read_json(run.model(station).metrics) for station in trained}
    data = read_json(run.data.card)
    exported = read_json(run.exported.card)
    return {
        "name": name,
        "version": config.version,
        "made_by": f"marwright {__version__}",
        "data": {key: data[key] for key in IN_CARD if key in data}
        | {key: data[key] for key in ALSO_IN_CARD if data.get(key)},
        **{station: metrics["test"] for station, metrics in models.items()},
        **{about: each[about] for each in models.values() for about in TECHNIQUES if about in each},
        "archive": exported["test"],
        "compression": _without_times(read_json(run.compressed.plan)),
        "confidence": exported["confidence"] | _abstention(config, run, exported["confidence"]),
        "parity": exported["parity"],
        "module": {"class": exported["module"], "method": exported["method"], "runtime": exported["runtime"]},
    }


def _abstention(config: ArchiveConfig, run: Run, fitted: dict[str, Any]) -> dict[str, Any]:
    """What the archive's own threshold does on validation and test, if it has one."""
    if config.min_confidence is None:
        return {}
    from datasets import load_from_disk

    splits, task = load_from_disk(str(run.data.splits)), run.data.task
    found = {}
    for split in ("validation", "test"):
        logits = np.load(run.exported.logits(split))
        answers = task.answers(logits, fitted)
        confidence = task.probability_of(answers, task.probabilities(logits, fitted))
        right = same(answers, np.asarray(splits[split]["label"]))
        found[split] = selective_accuracy(confidence, right, config.min_confidence)
    test = found["test"]
    accuracy = "" if test["accuracy"] is None else f", of these {test['accuracy']:.2%} rightly"
    say(f"  abstains below {config.min_confidence:g}: {test['coverage']:.1%} of test texts get a label{accuracy}")
    return {"abstention": found}


def _without_times(plan: dict[str, Any]) -> dict[str, Any]:
    """The compression's plan without what was measured in milliseconds: no two builds measure the same."""
    candidates = plan["cpu"].get("candidates")
    if candidates is None:
        return plan
    kept = {name: {key: found[key] for key in found if key != "ms"} for name, found in candidates.items()}
    return plan | {"cpu": plan["cpu"] | {"candidates": kept}}
