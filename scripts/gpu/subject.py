"""What is checked, and on what; each part opens it for itself."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from gpu.archived import Archived, importable, loaded
from marwright.bench import texts_of_archive
from marwright.config import load_config
from marwright.errors import ArchiveError, DataError, MarwrightError
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.reading import unpacked
from marwright.road.stations import model_to_compress
from marwright.workspace import ModelFolder, Run

ALONE_TOKENS = 16
MIXED_TEXTS, MIXED_TOKENS = 32, 32

Batches = Sequence[Sequence[str]]


class LeftOutError(Exception):
    """A part that cannot run here; the message says why."""


@dataclass(frozen=True)
class Subject:
    """An archive, a device, and what is known of both."""

    given: argparse.Namespace
    """What the user has asked for, the archive among it."""
    folder: Path
    device: torch.device
    texts: Sequence[str]
    student: ModelFolder | None
    seconds: float
    """That the part may take."""

    @property
    def on_a_gpu(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device.type == "cuda"

    def loaded(self, *, on_the_cpu: bool = False) -> Archived:
        """The archive's handler, with the module for the device, or with that for the CPU."""
        gpu = (self.device.index or 0) if self.on_a_gpu and not on_the_cpu else None
        return loaded(self.given.archive, self.folder, gpu)

    def checkpoint(self) -> Path:
        """The student's weights as Hugging Face has them.

        Raises:
            LeftOutError: no configuration was given.
        """
        if self.student is None:
            raise LeftOutError("it needs the run's checkpoint: give --config")
        return self.student.checkpoint


def device_named(name: str) -> torch.device:
    """The device of ``--device``.

    Raises:
        MarwrightError: there is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MarwrightError(f"--device {name}: write cuda, cuda:1 or cpu.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MarwrightError(f"--device {name}: PyTorch {torch.__version__} finds no such GPU here. (--device cpu?)")
    return device


@contextmanager
def opened(given: argparse.Namespace, seconds: float) -> Iterator[Subject]:
    """Unpack the archive and find texts for it.

    Raises:
        MarwrightError: no such archive, device or run, or the archive has no module for GPUs.
    """
    device = device_named(given.device)
    config = None if given.config is None else load_config(given.config)
    run = None if config is None else Run(config.runs / config.name)
    student = None if config is None or run is None else model_to_compress(config, run)
    with unpacked(given.archive) as folder, importable(folder):
        if layout.GPU_MODULE not in {file.name for file in folder.iterdir()}:
            raise ArchiveError(f"{given.archive}: no module for GPUs; build it with compression.gpu: fp16.")
        texts = texts_of_archive(given.archive) if run is None else _test_rows(run, folder, given.archive)
        yield Subject(given, folder, device, texts, student, seconds)


def _test_rows(run: Run, folder: Path, archive: Path) -> list[str]:
    from datasets import load_from_disk

    if not run.exported.golden.is_file():
        raise DataError(f"{run.root}: no finished run; give the configuration that {archive} was built from.")
    if read_json(run.exported.golden) != read_json(folder / layout.GOLDEN):
        raise DataError(f"{archive} was not built from {run.root}: their golden requests differ.")
    return list(load_from_disk(str(run.data.splits))["test"]["text"])


def batches_of(archived: Archived, texts: Sequence[str]) -> dict[str, Batches]:
    """Single texts of the wanted length, or the next best ones; and batches of short texts, always the same ones."""
    lengths = {text: len(archived.handler.encoder.tokenizer.encode(text).ids) for text in dict.fromkeys(texts)}
    nearest = min(lengths.values(), key=lambda length: abs(length - ALONE_TOKENS))
    alone = [[text] for text, length in lengths.items() if length == nearest]
    short = [text for text, length in lengths.items() if length <= MIXED_TOKENS]
    if not short:
        raise DataError(f"No text has up to {MIXED_TOKENS} tokens.")
    chosen = random.Random(0)
    mixed = [chosen.choices(short, k=MIXED_TEXTS) for _ in range(100)]
    return {f"1 × {ALONE_TOKENS}": alone, f"{MIXED_TEXTS} mixed": mixed}
