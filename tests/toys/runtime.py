"""TorchScript under another name, with a part in the worker of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marwright.runtimes.runtime import Exported, Runtime, Source, Wishes, first_refused
from marwright.runtimes.torchscript import TorchScript

if TYPE_CHECKING:
    from marwright.runtimes.runtime import Module


class Toy(Runtime):
    """Runs what TorchScript runs."""

    name = "toy"
    module_file = "model.toy"
    handler_module = "toy_runtime"
    packages = ("safetensors",)

    def refusal(self, wishes: Wishes) -> str | None:
        return first_refused({"archive.threads above 1": wishes.several_threads}, "is not for export.runtime: toy")

    def export(self, source: Source, file: Path) -> Exported:
        return TorchScript().export(source, file)

    def load(self, file: Path) -> Module:
        return TorchScript().load(file)
