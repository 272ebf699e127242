"""The Python modules of an unpacked archive, imported for themselves: two archives have modules of the same names."""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

_numbers = count(1)


class PrivateModules:
    """Imports modules out of a folder so that nobody else sees them.

    The modules have an ``import`` of their own, which looks into the folder first, whenever it is run. In
    ``sys.modules`` they stand under a name that no one else has, as dataclasses and pickles need it, until they are
    forgotten.
    """

    def __init__(self, folder: Path, stand_ins: Mapping[str, Mapping[str, object]]) -> None:
        """Import nothing yet.

        Args:
            folder: has the modules.
            stand_ins: full names of modules, to be had as if they lay there, and what is in each.
        """
        self._folder = folder
        self._prefix = f"_marwright_archive_{next(_numbers)}"
        self._names = {file.stem for file in folder.glob("*.py")}
        self._names |= {file.parent.name for file in folder.glob("*/__init__.py")}
        self._modules = {name: _module(name, content) for name, content in stand_ins.items()}
        self._lock = threading.RLock()
        self._builtins = vars(builtins) | {"__import__": self._import}
        self._importlib = _module("importlib", vars(importlib) | {"import_module": self.load})

    def load(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module, as ``importlib.import_module`` does.

        Raises:
            ImportError: there is none of this name, neither in the folder nor installed; or what the module raises.
        """
        if not self._has(name):
            return importlib.import_module(name, package)
        with self._lock:
            return self._modules.get(name) or self._loaded(name)

    def _has(self, name: str) -> bool:
        return name in self._modules or name.partition(".")[0] in self._names

    def _loaded(self, name: str) -> ModuleType:
        parent, _, own = name.rpartition(".")
        folder = Path(self.load(parent).__path__[0]) if parent else self._folder
        package = folder / own / "__init__.py"
        file, places = (package, [str(package.parent)]) if package.is_file() else (folder / f"{own}.py", None)
        spec = spec_from_file_location(
            f"{self._prefix}.{name}",
            file,
            loader=_Loader(f"{self._prefix}.{name}", str(file), self._builtins),
            submodule_search_locations=places,
        )
        if spec is None or spec.loader is None or not file.is_file():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = module_from_spec(spec)
        self._modules[name] = sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del self._modules[name], sys.modules[spec.name]
            raise
        if parent:
            setattr(self.load(parent), own, module)
        return module

    def _import(
        self,
        name: str,
        namespace: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        wanted: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        """``__import__`` for the modules of the folder."""
        if name == "importlib":
            return self._importlib
        if level or not self._has(name):
            return builtins.__import__(name, namespace, local, wanted, level)
        module = self.load(name)
        for each in wanted or ():
            if not hasattr(module, each) and hasattr(module, "__path__"):
                self.load(f"{name}.{each}")
        return module if wanted else self.load(name.partition(".")[0])

    def forget(self) -> None:
        """Leave nothing in ``sys.modules``."""
        for name in [name for name in sys.modules if name.startswith(f"{self._prefix}.")]:
            del sys.modules[name]


class _Loader(SourceFileLoader):
    """Runs a module with built-in functions of its own."""

    def __init__(self, name: str, path: str, own: Mapping[str, Any]) -> None:
        super().__init__(name, path)
        self._own = own

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._own
        super().exec_module(module)

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write no bytecode into the archive's folder."""


def _module(name: str, content: Mapping[str, object]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module
