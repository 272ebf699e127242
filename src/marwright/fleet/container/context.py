"""Writes the build context: the archive, what serves it, and what watches it."""

from __future__ import annotations

import shutil
from pathlib import Path

from marwright.config import Config
from marwright.console.progress import say
from marwright.files import filling, write_text
from marwright.fleet.container.requirements import TORCH_CPU, Pinned, installed, pin, pinned, this_python
from marwright.fleet.templates import facts_of, fill_in
from marwright.formats.java_properties import read_properties, write_properties
from marwright.mar.handler_modules import SERVING
from marwright.resources import shipped
from marwright.runtimes import RUNTIMES

FILES = Path(__file__).with_name("files")
# HAProxy stands before these; management is for the health check alone.
LISTENING = {
    "inference_address": "http://127.0.0.1:8090",
    "management_address": "http://127.0.0.1:8091",
    "metrics_address": "http://127.0.0.1:8092",
}


def export_container(config: Config, archive: Path, folder: Path) -> None:
    """Write a build context for an image with one archive, a compose file, alert rules and a dashboard.

    It goes into a folder that is absent or empty.

    Raises:
        ExportError: the archive is not there, or a package that it needs is not installed here.
        MarwrightError: the folder has something in it, or cannot be written.
    """
    facts = facts_of(config, archive)
    packages = pinned([*SERVING, "pyyaml", *RUNTIMES[config.export.runtime].packages])
    torch = pin("torch", installed("torch"), TORCH_CPU)
    with filling(folder) as partial:
        shutil.copytree(FILES, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.j2", "__pycache__"))
        shutil.copyfile(archive, partial / archive.name)
        shutil.copyfile(shipped("configs") / "metrics.yaml", partial / "metrics.yaml")
        write_text(partial / "config.properties", server_properties())
        write_text(partial / "requirements.txt", _lines(packages))
        write_text(partial / "torch-cpu.txt", _lines([torch]))
        # With CUDA it brings libraries of its own, of versions that it names; pip wants digests of all or of none.
        write_text(partial / "torch-gpu.txt", _lines([Pinned("torch", torch.version, ())]))
        facts |= {
            "archive": archive.name,
            "python": this_python(),
            "base": f"docker.io/library/python:{this_python()}-slim-bookworm",
            "torch_index": TORCH_CPU,
        }
        fill_in(FILES, partial, facts)
    if undigested := [each.name for each in [*packages, torch] if not each.digests]:
        say(f"{folder}: no digests could be had of {', '.join(undigested)}, so the version alone is pinned")


def server_properties() -> str:
    """The production configuration for a TorchServe that only the container's own HAProxy can reach."""
    settings = dict(read_properties((shipped("configs") / "production.properties").read_bytes()).values)
    java = [word for word in settings["vmargs"].split() if not word.startswith("-Dlog4j.configurationFile")]
    # What Java 24 and newer must be told so that Netty and log4j run without warnings.
    java += ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
    settings |= LISTENING | {
        # HAProxy asks for the key: TorchServe's are others in each replica.
        "disable_token_authorization": "true",
        "metrics_config": "/srv/metrics.yaml",
        "vmargs": " ".join(java),
    }
    del settings["token_expiration_min"]
    return "# configs/production.properties of marwright, for a server behind the container's HAProxy.\n" + (
        write_properties(settings)
    )


def _lines(packages: list[Pinned]) -> str:
    return "".join(f"{each.line()}\n" for each in packages)
