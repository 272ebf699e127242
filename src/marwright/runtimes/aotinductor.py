"""AOTInductor: machine code for one kind of processor. Experimental, as AOTInductor is itself."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from marwright.console.progress import say
from marwright.errors import ExportError
from marwright.files import replacing
from marwright.runtimes.runtime import Exported, Runtime, Source, Wishes, first_refused

if TYPE_CHECKING:
    from torch import nn

    from marwright.runtimes.runtime import Module


class AotInductor(Runtime):
    """The fastest for single texts, under the one version of torch that compiled it."""

    name = "aotinductor"
    module_file = "model.pt2"
    handler_module = "aotinductor_runtime"
    encoders_only = True

    def missing(self) -> str | None:
        if any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name):
            return None
        return "export.runtime: aotinductor needs a C++ compiler on the machine of the build: apt install g++"

    def refusal(self, wishes: Wishes) -> str | None:
        asked = {
            "student.bilstm": wishes.bilstm,
            "export.method: trace": wishes.traced,
            wishes.schemes[0].setting: not any(scheme.capturable for scheme in wishes.schemes),
            "compression.max_drop": wishes.max_drop,
            "archive.threads above 1": wishes.several_threads,
        }
        why = "is not for export.runtime: aotinductor: it compiles marwright's own encoder, int8 with fixed scales"
        why += ", for one thread"
        return first_refused(asked, why)

    def export(self, source: Source, file: Path) -> Exported:
        """Compile a package for any batch and any length.

        Raises:
            ExportError: there is no C++ compiler, the weights are in a scheme that cannot be compiled, or
                `torch.export` cannot capture the model.
        """
        import torch

        from marwright.runtimes import inductor
        from marwright.schemes import FLOAT, SCHEMES, Texts

        if (missing := self.missing()) is not None:
            raise ExportError(missing)
        made = source.scheme.captured(_capturable(source), source.weights)
        # Before anything is compiled: the weights may be none that can be.
        if made is None:
            raise ExportError(
                "export.runtime: aotinductor computes int8 with fixed scales only, for BERT, RoBERTa and DistilBERT. "
                "Set compression.activations: static, or compression.cpu: fp32."
            )
        float_scheme, plain = SCHEMES[FLOAT], _capturable(source)
        in_float = float_scheme.captured(plain, float_scheme.fit(plain, Texts((), 0), int8_embeddings=False).weights)
        assert in_float is not None
        with tempfile.TemporaryDirectory(prefix="marwright-") as folder:
            full = Path(folder) / "float.pt2"
            say("  compiling for float32 (half a minute)")
            inductor.compile_package(in_float, source.example, source.max_length, full)
            unquantized = inductor.load(full)
            with replacing(file) as partial:
                if source.scheme is float_scheme:
                    shutil.copyfile(full, partial)
                else:
                    say("  compiling for int8 (about a minute)")
                    inductor.compile_package(made, source.example, source.max_length, partial)
        needs = {
            "needs_torch": torch.__version__.partition("+")[0],
            "needs_avx512": inductor.has_avx512(),
            "needs_vnni": False,
        }
        return Exported(
            unquantized,
            inductor.load(file),
            None,
            type(made).__name__,
            "compile",
            "compiled",
            needs | dict(source.scheme.needs),
        )

    def load(self, file: Path) -> Module:
        from marwright.runtimes import inductor

        return inductor.load(file)


def _capturable(source: Source) -> nn.Module:
    """Marwright's own encoder, or the module of transformers where there is none."""
    from marwright.encoder.encoder import Encoder
    from marwright.encoder.families import load_module

    module = load_module(source.checkpoint, "script")
    return module if isinstance(module, Encoder) else load_module(source.checkpoint, "trace")
