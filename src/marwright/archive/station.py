"""Assembles an archive, has its own handler answer the golden requests, and only then puts it into the model store."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tokenizers import Tokenizer

from marwright import __version__
from marwright.archive.graph_buckets import graph_buckets
from marwright.archive.model_card import model_card
from marwright.config import ArchiveConfig, GpuServingConfig
from marwright.console.progress import say
from marwright.errors import ArchiveError
from marwright.files import read_json, replacing, stable_json
from marwright.mar import layout
from marwright.mar.abstention import probabilities_in
from marwright.mar.golden import TOLERANCE, difference
from marwright.mar.training_digests import TrainingDigests
from marwright.mar.worker import running
from marwright.mar.writing import Contents, pack, source_date
from marwright.metrics.confidence import probabilities_of, selective_accuracy
from marwright.pretrained.tokenization import token_ids
from marwright.resources import shipped
from marwright.runtimes import RUNTIMES
from marwright.workspace import ModelFolder, Run

SERVING = ("torch", "torchserve", "tokenizers")
"""What a worker imports besides the standard library and the archive, whatever its runtime."""


IN_CARD = ("origin", "rows", "labels", "labels_without_test_rows", "majority_share", "tokens", "baseline")
ALSO_IN_CARD = ("text", "counted_as_wrong")
"""What the card repeats of the data's own, the latter where there is any."""

TECHNIQUES = ("pruning", "quantization_aware")
"""What the card repeats of the models' own metrics."""


def build_archive(
    config: ArchiveConfig, run: Run, *, name: str, file: Path, trained: Sequence[str] = ("teacher", "student")
) -> None:
    """Write the archive of a run.

    Args:
        config: version, handler and worker settings.
        run: its exported module, tokenizer, labels and cards.
        name: of the model.
        file: where the archive goes.
        trained: the stations that trained a model; the last one's is in the archive.

    Raises:
        ArchiveError: two files would have one name, the handler cannot be loaded, or it does not answer the golden
            requests as the exported module did. The old archive, if there is one, then stays.
    """
    handler = shipped("handlers") / layout.HANDLER if config.handler is None else config.handler
    contents = _contents(config, run, handler, name, trained)
    # Left by a build that was killed just here; with two dots, while it packed.
    for pattern in (f".{file.name}.*.partial", f"..{file.name}.*.partial"):
        for stale in file.parent.glob(pattern):
            stale.unlink()
    with replacing(file) as partial:
        try:
            module = run.exported.cpu.name
            pack(contents, partial, name=name, version=config.version, handler=handler.name, module=module)
            if config.handler is None:
                _prove(partial, read_json(run.exported.golden), read_json(run.data.card).get("text", {}))
        except ArchiveError as error:
            raise ArchiveError(str(error).replace(str(partial), str(file))) from error
    say(f"  {file}: {file.stat().st_size / 1e6:.1f} MB; its handler answers the golden requests as the build did")


def _contents(config: ArchiveConfig, run: Run, handler: Path, name: str, trained: Sequence[str]) -> Contents:
    from marwright.mar.sbom import bill_of_materials

    contents = Contents()
    exported = read_json(run.exported.card)
    runtime = exported["runtime"]
    cpu = run.exported.cpu
    contents.add(cpu.name, cpu)
    modules: dict[str, Any] = {
        "cpu": {"file": cpu.name, "runtime": RUNTIMES[runtime].handler_module, **exported["needs"]}
    }
    on_gpu = run.exported.gpu.is_file()
    if on_gpu:
        contents.add(layout.GPU_MODULE, run.exported.gpu)
        modules["cuda"] = _on_gpus(config, run, exported["gpu"], run.model(trained[-1]).tokenizer)
    contents.add(layout.TOKENIZER, run.model(trained[-1]).tokenizer)
    if config.training_digests:
        contents.add(layout.TRAINING_DIGESTS, _training_digests(run, run.model(trained[-1])).as_json())
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
        "temperature": exported["confidence"]["temperature"],
        "max_instances": config.max_instances,
        "max_characters": config.max_characters,
        "text": read_json(run.data.card).get("text", {}),
        "max_answer_bytes": config.max_answer_bytes,
        "modules": modules,
        "warm_up": [{"text": request["text"]} for request in golden],
    }
    contents.add(layout.SETUP, stable_json(setup))
    packages = (*SERVING, *RUNTIMES[runtime].packages)
    contents.add(layout.MODEL_CONFIG, model_config(config, on_gpu=on_gpu))
    card = _card(config, run, name, trained)
    contents.add(layout.CARD, stable_json(card))
    contents.add(layout.MODEL_CARD, model_card(card, labels, config, sizes=_module_sizes(run)))
    contents.add(layout.SBOM, bill_of_materials(name, config.version, packages, source_date()))
    contents.add(handler.name, handler)
    for source in handler_modules(handler, {module["runtime"] for module in modules.values()}):
        contents.add(source.name, source)
    return contents


def _training_digests(run: Run, model: ModelFolder) -> TrainingDigests:
    from datasets import load_from_disk

    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    return TrainingDigests.of(tokenizer, load_from_disk(str(run.data.splits))["train"]["text"])


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


def _module_sizes(run: Run) -> dict[str, int]:
    modules = {"CPUs": run.exported.cpu, "GPUs": run.exported.gpu}
    return {device: file.stat().st_size for device, file in modules.items() if file.is_file()}


def handler_modules(handler: Path, runtimes: Iterable[str] = (layout.TORCHSCRIPT,)) -> list[Path]:
    """What a handler needs of the modules beside it and of the shipped ones.

    Args:
        handler: its imports are followed.
        runtimes: modules that it loads by name.

    Raises:
        ArchiveError: the handler is missing or is not Python.
    """
    found = {name: shipped("handlers") / f"{name}.py" for name in runtimes}
    waiting = [handler, *found.values()]
    while waiting:
        file = waiting.pop()
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        except FileNotFoundError:
            raise ArchiveError(f"{file}: no such handler; archive.handler names a Python file") from None
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ArchiveError(f"{file}: not a Python file: {error}") from error
        for name in _imported(tree):
            for folder in (handler.parent, shipped("handlers")):
                module = folder / f"{name}.py"
                if module.is_file() and name not in found and module.resolve() != handler.resolve():
                    found[name] = module
                    waiting.append(module)
                    break
    return [found[name] for name in sorted(found)]


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def model_config(config: ArchiveConfig, *, on_gpu: bool) -> str:
    """TorchServe's settings for this model; every number is a number, since TorchServe drops strings silently."""
    settings: dict[str, Any] = {}
    batches = config.gpu or config
    devices = list(config.gpu.device_ids) if config.gpu is not None else []
    # Left to itself TorchServe starts a worker for each GPU of the server, whichever are named.
    workers = config.workers or len(devices)
    if workers:
        settings = {"minWorkers": workers, "maxWorkers": workers}
    settings |= {
        "batchSize": batches.batch_size,
        "maxBatchDelay": batches.max_batch_delay_ms,
        "responseTimeout": config.response_timeout_s,
    }
    if not on_gpu:
        # Without this a machine with a GPU would give one to a module that cannot use it.
        settings["deviceType"] = "cpu"
    elif config.gpu is not None:
        # TorchServe takes the CPU where it finds no GPU, and ignores a list with a GPU that it does not find.
        settings |= {"deviceType": "gpu"} | ({"deviceIds": devices} if devices else {})
    text: str = yaml.safe_dump(settings, sort_keys=False)
    return text


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
        "confidence": exported["confidence"] | _abstention(config, run, exported["confidence"]["temperature"]),
        "parity": exported["parity"],
        "module": {"class": exported["module"], "method": exported["method"], "runtime": exported["runtime"]},
    }


def _abstention(config: ArchiveConfig, run: Run, temperature: float) -> dict[str, Any]:
    """What the archive's own threshold does on validation and test, if it has one."""
    if config.min_confidence is None:
        return {}
    from datasets import load_from_disk

    splits = load_from_disk(str(run.data.splits))
    found = {}
    for split in ("validation", "test"):
        probabilities = probabilities_of(np.load(run.exported.logits(split)), temperature)
        found[split] = selective_accuracy(probabilities, np.asarray(splits[split]["label"]), config.min_confidence)
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


def _prove(file: Path, golden: list[dict[str, Any]], text: dict[str, Any]) -> None:
    """Run the golden requests, one by one and as one batch, through the archive's handler.

    Where a request may send the columns of the table, they are run that way too: all of the text in the first one.
    """
    texts = [request["text"] for request in golden]
    labels = len(golden[0]["answer"])
    with running(file) as worker:
        alone = [worker.classify([text], top_k=labels)[0] for text in texts]
        together = worker.classify(texts, top_k=labels)
        every = [alone, together]
        if fields := text.get("fields"):
            every.append(worker.classify(texts, top_k=labels, field=fields[0]))
    for answers in every:
        for request, answer in zip(golden, answers, strict=True):
            off = difference(request["answer"], probabilities_in(answer))
            if off > TOLERANCE:
                raise ArchiveError(
                    f"The handler does not answer as the exported module did: {request['text'][:60]!r} has a "
                    f"probability that is {off:.3f} off."
                )
