"""Kustomize folders for the image of an archive: base, components, GPU overlay, and KServe's resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marwright.config import Config
from marwright.errors import ExportError
from marwright.files import filling
from marwright.fleet.dns_label import dns_label
from marwright.fleet.templates import facts_of, fill_in

FILES = Path(__file__).with_name("files")
CORES = 2
"""Of a replica whose archive does not say how many workers it wants."""
START_S = 120
DRAIN_S = 5
ENDING_S = 7
"""Seconds that the image takes at most for what is in hand when it has taken its last request."""
SPARE_S = 8


def export_kubernetes(config: Config, archive: Path, folder: Path) -> None:
    """Write manifests for the image that ``marwright export --container`` makes, into an absent or empty folder.

    The archive's size says how much a replica unpacks.

    Raises:
        ExportError: the archive is not there, or its name is too long for an object of Kubernetes.
        MarwrightError: the folder has something in it, or cannot be written.
    """
    facts = _facts(config, archive)
    with filling(folder) as partial:
        fill_in(FILES, partial, facts, but="gpu" if config.compression.gpu == "none" else None)


def _facts(config: Config, archive: Path) -> dict[str, Any]:
    workers, facts = config.archive.workers or CORES, facts_of(config, archive)
    # TorchServe's Java, and the module and libraries of each worker, which is 300 to 500 MB.
    memory_mb = 768 + (256 + facts["tmp_mb"]) * workers
    return facts | {
        "app": object_name(config.name),
        "cores": workers * config.archive.threads,
        "memory_mb": memory_mb,
        # CUDA's own libraries and context, beside what the CPU's worker takes.
        "gpu_memory_mb": memory_mb + 4096,
        "start_s": START_S,
        "drain_s": DRAIN_S,
        "ending_s": ENDING_S,
        "grace_s": DRAIN_S + ENDING_S + SPARE_S,
    }


def object_name(name: str) -> str:
    """Return a model's name as objects of Kubernetes may have it: ``pt_classifier`` is ``pt-classifier``.

    Raises:
        ExportError: it is too long, with what is appended to it.
    """
    found = dns_label(name)
    if len(found) > 50:
        raise ExportError(
            f"{name}: too long for an object of Kubernetes. Build it with a name of 50 characters or fewer."
        )
    return found
