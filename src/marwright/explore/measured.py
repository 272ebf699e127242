"""The memory that a run's exported module takes: measured once, then kept. Its answers lie with the module."""

from __future__ import annotations

import shutil

from datasets import load_from_disk
from tokenizers import Tokenizer

from marwright.explore.memory import peak_memory_bytes
from marwright.files import move_folder_into_place, stable_json, write_text
from marwright.pretrained.tokenization import pad_id, token_ids
from marwright.road.freshness import digest_if_fresh, fingerprint, recorded_digest, write_stamp
from marwright.workspace import MeasuredFolder, Run

REVISION = 2


def measure_memory(run: Run) -> bool:
    """Fill the :class:`MeasuredFolder` of a run that is built up to its exported module, unless it is fresh.

    Returns:
        whether there was anything to do.
    """
    inputs = {name: recorded_digest(run.stamp(name)) for name in ("data", "student", "exported")}
    made_from = fingerprint(REVISION, {}, inputs)
    stamp = run.stamp("measured")
    if digest_if_fresh(stamp, made_from, run.measured.root) is not None:
        return False
    stamp.unlink(missing_ok=True)
    partial = run.partial("measured", made_from)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    output = MeasuredFolder(partial)
    filler = pad_id(Tokenizer.from_file(str(run.student.tokenizer)))
    memory = peak_memory_bytes(run.exported.cpu, token_rows(run, "validation"), filler)
    write_text(output.memory, stable_json({"peak_bytes_above_baseline": memory}))
    move_folder_into_place(partial, run.measured.root)
    write_stamp(stamp, made_from, run.measured.root)
    return True


def token_rows(run: Run, split: str) -> list[list[int]]:
    """Token ids of a split's texts, as the run's own tokenizer cuts them."""
    texts = load_from_disk(str(run.data.splits))[split]["text"]
    return token_ids(Tokenizer.from_file(str(run.student.tokenizer)), texts)
