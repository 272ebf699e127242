"""The parts of the check: each measures one thing, for as long as it may, and says why where it cannot."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from gpu.agreement import agreement, logits_of
from gpu.busy import on_the_device
from gpu.rates import served
from gpu.rivals import Rival, compiled, eager, onnx
from gpu.subject import LeftOutError, Subject, batches_of
from gpu.timing import Answer, timed
from marwright.mar import layout
from marwright.runtimes import jit

TESTS = Path(__file__).parents[2] / "tests" / "unit" / "runtimes" / "test_on_gpu.py"
# Of a part's time, how much may go into timing; the rest is for loading and compiling.
TIMED_SHARE = 0.3
# 16 bits change the label of texts that stand between two; banking77's module in fp16 changes one of a thousand.
LEAST_SAME_LABELS = 0.99


@dataclass(frozen=True)
class Part:
    about: str
    work: Callable[[Subject], dict[str, Any]]
    seconds: float
    """Of ten minutes."""


def machine(subject: Subject) -> dict[str, Any]:
    """Card, driver and versions."""
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(subject.device) if subject.on_a_gpu else platform.processor() or "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
    }
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        found |= {"onnxruntime": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm", "--format=csv"]
        found["nvidia-smi"] = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return found


def correctness(subject: Subject) -> dict[str, Any]:
    """The GPU's module against the CPU's in the same file, and against the student in float32 as it was recorded."""
    archived = subject.loaded()
    encoder = archived.handler.encoder
    if subject.on_a_gpu:
        own, cpu = archived.handler.runtime.logits, subject.loaded(on_the_cpu=True).handler.runtime.logits
    else:
        own, cpu = jit.load(subject.folder / layout.GPU_MODULE), archived.handler.runtime.logits
    ours = logits_of(own, encoder, subject.texts, "the GPU's module")
    theirs = logits_of(cpu, encoder, subject.texts, "the CPU's module")
    found: dict[str, Any] = {"texts": len(subject.texts), "with_cpu": agreement(ours, theirs)}
    if subject.student is not None:
        found["with_fp32"] = agreement(ours, np.load(subject.student.logits("test")))
        if found["with_fp32"]["same_label"] < LEAST_SAME_LABELS:
            raise AssertionError(f"it answers otherwise than in float32: {found['with_fp32']}")
    return found


def graphs(subject: Subject) -> dict[str, Any]:
    """Which CUDA graphs were recorded and proven, which not, and their memory."""
    if not subject.on_a_gpu:
        raise LeftOutError("there are CUDA graphs on a GPU only")
    archived = subject.loaded()
    runtime = archived.handler.runtime
    buckets = archived.handler.settings["modules"]["cuda"].get("buckets", [])
    recorded = sorted(getattr(runtime, "replays", {}))
    return {
        "recorded": [list(bucket) for bucket in recorded],
        "left_out": [bucket for bucket in buckets if tuple(bucket) not in recorded],
        "megabytes": round(getattr(runtime, "graph_bytes", 0) / (1 << 20), 1),
        "reserved_megabytes": round(torch.cuda.memory_reserved(archived.handler.device) / (1 << 20), 1),
    }


def tests(subject: Subject) -> dict[str, Any]:
    """The project's own tests that need a GPU."""
    if not subject.on_a_gpu:
        raise LeftOutError("they need a GPU")
    if not TESTS.is_file():
        raise LeftOutError(f"{TESTS} is not here: run it in a checkout")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parents[3])
    lines = done.stdout.strip().splitlines()
    print(done.stdout, file=sys.stderr)
    if done.returncode:
        raise AssertionError("; ".join(line for line in lines if line.startswith(("FAILED", "ERROR"))) or lines[-1])
    return {"result": lines[-1]}


def handler(subject: Subject, rivals: Mapping[str, Rival] = MappingProxyType({})) -> dict[str, Any]:
    """The handler's whole time from texts to JSON, and of it the time that the device is busy.

    With rivals, by name: only the whole times, in turns, so that all meet the same machine.
    """
    archived = subject.loaded()
    encoder, labels = archived.handler.encoder, archived.handler.labels
    found: dict[str, Any] = {}
    batches = batches_of(archived, subject.texts)
    for name, each in batches.items():
        longest = max(encoder.encode(list(batch))[0].size(1) for batch in each)
        ways: dict[str, Answer] = {"marwright": archived.answer}
        for title, rival in rivals.items():
            ways[title] = rival(subject.checkpoint(), encoder, labels, subject.device, longest)
            ways[title](each[0])
        within = TIMED_SHARE * subject.seconds / len(batches)
        found[name] = {"tokens_at_most": longest, "ways": timed(ways, each, subject.given.calls, name, within)}
        if subject.on_a_gpu and not rivals:
            found[name] |= on_the_device(subject, archived, each, found[name]["ways"]["marwright"]["p50_ms"])
    return found


PARTS = {
    "machine": Part("card, driver and versions", machine, 20),
    "correctness": Part("the same labels as in float32 and in int8", correctness, 70),
    "graphs": Part("CUDA graphs that answer as the module does", graphs, 30),
    "tests": Part("the project's tests that need a GPU", tests, 80),
    "handler": Part("from texts to JSON", handler, 40),
    "eager": Part("Hugging Face's module", partial(handler, rivals={"Hugging Face, eager": eager}), 40),
    "onnx": Part("ONNX Runtime's CUDA provider", partial(handler, rivals={"ONNX Runtime": onnx}), 60),
    "compile": Part("torch.compile", partial(handler, rivals={"torch.compile, reduce-overhead": compiled}), 90),
    "serving": Part("TorchServe", served, 170),
}
"""In the order in which they run: ten minutes."""
