"""The memory that a run's exported module takes: measured once, then kept. Its answers lie with the module."""

from __future__ import annotations

import shutil

from datasets import load_from_disk
from tokenizers import Tokenizer

from marwright.explore.memory import peak_memory_bytes
from marwright.files import stable_json, write_text
from marwright.pretrained.tokenization import pad_id, token_ids
from marwright.road.freshness import digest_if_fresh, fingerprint, recorded_digest, write_stamp
from marwright.schemes import Texts
from marwright.workspace import Run

REVISION = 2


def measure_memory(run: Run) -> None:
    """Measure a run that is built up to its exported module, unless what was measured is fresh."""
    inputs = {name: recorded_digest(run.stamp(name)) for name in ("data", "student", "exported")}
    made_from = fingerprint(REVISION, {}, inputs)
    stamp = run.stamp("measured")
    if digest_if_fresh(stamp, made_from, run.measured.root) is not None:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(run.measured.root, ignore_errors=True)
    memory = peak_memory_bytes(run.exported.cpu, validation_texts(run))
    write_text(run.measured.memory, stable_json({"peak_bytes_above_baseline": memory}))
    write_stamp(stamp, made_from, run.measured.root)


def validation_texts(run: Run) -> Texts:
    """The texts of the validation split in their order, as the run's own tokenizer cuts them."""
    tokenizer = Tokenizer.from_file(str(run.student.tokenizer))
    return Texts(token_ids(tokenizer, load_from_disk(str(run.data.splits))["validation"]["text"]), pad_id(tokenizer))
