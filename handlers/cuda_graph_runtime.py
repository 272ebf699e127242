"""Runs a TorchScript module on a GPU by replaying CUDA graphs that were recorded when it was loaded.

A GPU is done with a small batch's kernels sooner than Python and TorchScript start them; a graph starts them all at
once. One is recorded for each bucket, a shape of batch in the archive's settings. Other batches, and those whose
graph would need more memory than it may, run kernel by kernel.

A graph is believed only after it has answered as the module does, and is given up as soon as it fails: what is computed
without graphs is slower, and as right.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from batch_buckets import Bucket, Buckets, Staging
from cuda_device import CudaDevice, Module, Replay
from graph_proof import chance_batch, disagreement, golden_batch
from graph_recording import Recorder, record_all
from prediction_failure import is_out_of_memory

logger = logging.getLogger(__name__)

# A thousandth of the batches is computed twice: graphs that become wrong while they serve are found out, too.
REPLAYS_PER_CHECK = 1000
PROOFS = 2


class CudaGraphRuntime:
    """A module, and the buckets that can be replayed."""

    def __init__(
        self,
        module: Module,
        cuda: CudaDevice,
        precision: str,
        staging: Staging,
        replays: dict[Bucket, Replay],
        graph_bytes: int = 0,
    ) -> None:
        self.module = module
        self.device = cuda.device
        self.staging = staging
        self.replays = replays
        self.graph_bytes = graph_bytes
        self.buckets = Buckets(list(replays))
        self._cuda = cuda
        self._precision = precision
        self._replays_per_check = REPLAYS_PER_CHECK
        self._replayed = 0

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Answer int64 ids and mask, (texts, longest) on the CPU.

        The result is on the device. It must be read before the next call, which computes in the same place.

        Raises:
            SystemExit: the GPU answers this process nothing any more.
        """
        texts = ids.size(0)
        bucket = self.buckets.fitting(texts, ids.size(1))
        replayed = None if bucket is None else self._replay(bucket, ids, mask)
        if replayed is not None:
            return replayed[:texts]
        batch = torch.stack((ids, mask)).to(self.device)
        return self.module(batch[0], batch[1])

    def _replay(self, bucket: Bucket, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
        """The logits of the whole bucket; none if its graph fails, which is then given up."""
        try:
            batch = self.staging.send(bucket, ids, mask)
            logits = self.replays[bucket]()
            self._replayed += 1
            wrong = self._wrong(batch, logits) if self._replayed % self._replays_per_check == 0 else None
        # Whatever it is, the module can still be run plainly, or else the device is lost.
        except Exception as error:
            given_up, reason = [bucket], _first_line(error)
        else:
            if wrong is None:
                return logits
            # They share their memory: what has spoilt one may have spoilt others.
            given_up, reason = list(self.replays), wrong
        # Outside of the error's block, whose stack would hold tensors.
        self._give_up(given_up, reason)
        return None

    def _wrong(self, batch: torch.Tensor, logits: torch.Tensor) -> str | None:
        """What is wrong with logits that were replayed for a batch; nothing where there is no memory to see it."""
        try:
            return disagreement(logits, self.module(batch[0], batch[1]), self._precision)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _give_up(self, buckets: list[Bucket], reason: str) -> None:
        """Run some buckets kernel by kernel from now on."""
        for bucket in buckets:
            logger.warning("CUDA graphs: %d texts × %d tokens given up: %s", *bucket, reason)
            del self.replays[bucket]
        self.buckets = Buckets(list(self.replays))
        self._cuda.recover()

    @torch.inference_mode()
    def prove(self, rows: list[list[int]]) -> None:
        """Give up every bucket that does not answer as the module does, with the texts of some rows and by chance.

        All are recorded by then, since a later recording may have spoilt an earlier one. As long as one is given up,
        the others are asked once more: memory that it gave back might have been theirs.

        Raises:
            SystemExit: the GPU answers this process nothing any more.
        """
        number, found = 0, True
        while number < PROOFS or found:
            found = False
            # Forwards and backwards, so that each comes after larger and after smaller ones.
            for bucket in sorted(self.replays, reverse=number % 2 == 0):
                batch = golden_batch(rows, bucket) if number == 0 else chance_batch(rows, bucket, seed=number)
                wrong = self._unlike_the_module(bucket, *batch)
                if wrong is not None:
                    self._give_up([bucket], wrong)
                    found = True
            number += 1

    def _unlike_the_module(self, bucket: Bucket, ids: torch.Tensor, mask: torch.Tensor) -> str | None:
        try:
            batch = self.staging.send(bucket, ids, mask)
            logits = self.replays[bucket]()
            return disagreement(logits, self.module(batch[0], batch[1]), self._precision)
        # What cannot be proven is not used.
        except Exception as error:
            return _first_line(error)


def load(file: Path, settings: dict[str, Any], device: torch.device) -> CudaGraphRuntime:
    """Load a module of static shapes onto a GPU, record its graphs and prove them.

    Of its settings ``buckets`` are pairs of texts and tokens; ``graph_megabytes`` bounds the memory of their graphs;
    ``precision`` is fp16 or bf16; ``golden_ids`` are token ids of some texts.

    Raises:
        RuntimeError: this GPU cannot compute in that precision, or has no room for the module.
        SystemExit: the GPU answers this process nothing any more.
    """
    return load_onto(CudaDevice(device), file, settings)


def load_onto(cuda: CudaDevice, file: Path, settings: dict[str, Any]) -> CudaGraphRuntime:
    """The same, for a device as this process has it."""
    cuda.take()
    if settings["precision"] == "bf16" and not cuda.computes_bfloat16():
        raise RuntimeError("This archive's module is bf16, which this GPU cannot compute: rebuild it with gpu: fp16.")
    module = cuda.load(file)
    try:
        runtime = _recorded(module, cuda, settings)
    # Whatever it is, the module can still be run plainly, or else the device is lost.
    except Exception as error:
        logger.warning("CUDA graphs: none: %s", _first_line(error))
        runtime = CudaGraphRuntime(module, cuda, settings["precision"], Staging([], cuda.device), {})
    cuda.recover()
    runtime.prove(settings["golden_ids"])
    logger.info(
        "CUDA graphs: %d of %d recorded and proven, in %d of %d MB",
        len(runtime.replays),
        len(settings["buckets"]),
        runtime.graph_bytes >> 20,
        settings["graph_megabytes"],
    )
    return runtime


def _recorded(module: Module, cuda: CudaDevice, settings: dict[str, Any]) -> CudaGraphRuntime:
    buckets = [(texts, length) for texts, length in settings["buckets"]]
    staging = Staging(buckets, cuda.device)
    recorder = Recorder(module, cuda, settings["graph_megabytes"] << 20)
    replays = record_all(recorder.record, staging, buckets)
    return CudaGraphRuntime(module, cuda, settings["precision"], staging, replays, recorder.used_bytes())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
