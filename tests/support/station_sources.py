"""What the outputs of each station are made by: the modules behind it, as hashes that ignore prose.

    python tests/support/station_sources.py

records them beside the stations' revisions, in tests/unit/road/station_sources.json.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from marwright.road.stations import STATIONS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "marwright"
RECORD = ROOT / "tests" / "unit" / "road" / "station_sources.json"
COMMAND = "python tests/support/station_sources.py"

# What these do is seen on the way, but not in a station's folder. Settings count by their values, in the fingerprint;
# the workspace names files, and whoever writes them counts.
NO_OUTPUT = {"errors", "console", "processes", "installed", "resources", "config", "workspace", "road", "checks"}
# Calls whose words are for the reader alone.
TALK = {"say", "working", "track"}


@dataclass(frozen=True)
class Sources:
    """The revision of every station, its modules, and the hash of every module."""

    revisions: dict[str, int]
    modules: dict[str, list[str]]
    hashes: dict[str, str]


@cache
def sources() -> Sources:
    """As they are now."""
    road = ast.parse((SOURCE / "road" / "stations.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in road.body if isinstance(node, ast.FunctionDef)}
    modules = {station.name: _closure(_imports(functions[station.work.__name__])) for station in STATIONS}
    return Sources(
        {station.name: station.revision for station in STATIONS},
        {name: [_name(file) for file in files] for name, files in modules.items()},
        {
            _name(file): source_hash(file.read_text("utf-8"))
            for file in sorted({file for files in modules.values() for file in files})
            if file.name != "__init__.py"  # one more line in a registry changes no result
        },
    )


def complaints(now: Sources, recorded: Mapping[str, Mapping[str, int | str]]) -> list[str]:
    """A sentence for each station whose sources are not the recorded ones, or whose revision is not."""
    old, revisions = recorded["sources"], recorded["revisions"]
    wrong = []
    for station, names in now.modules.items():
        modules = [name for name in names if name in now.hashes]
        # A module that is not recorded yet is reached by another that changed, or has made no result so far.
        changed = [module for module in modules if module in old and now.hashes[module] != old[module]]
        if now.revisions[station] != revisions.get(station):
            wrong.append(f"{station}: its revision is {now.revisions[station]}; record it: {COMMAND}")
        elif changed:
            wrong.append(
                f"{station}: {', '.join(changed)} changed. If what the station leaves in its folder can be another "
                f"than before, raise its revision in src/marwright/road/stations.py. Then record: {COMMAND}"
            )
    return wrong


def source_hash(text: str) -> str:
    """Of what a module computes: comments, docstrings, the words of errors and of progress do not count.

    Nor do imports, so that a module may move: what is imported counts itself.
    """
    tree = _WithoutProse().visit(ast.parse(text))
    return hashlib.sha256(repr(_shape(tree)).encode()).hexdigest()[:12]


def _shape(node: object) -> object:
    """A tree that is the same in every version of Python: newer ones know fields that older ones lack."""
    if isinstance(node, ast.AST):
        given = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return (type(node).__name__, *((name, _shape(value)) for name, value in given))
    return [_shape(each) for each in node] if isinstance(node, list) else node


class _WithoutProse(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        if isinstance(value, ast.Constant):
            return None
        talks = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in TALK
        return None if talks else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(exc=node.exc.func if isinstance(node.exc, ast.Call) else node.exc, cause=None)


def _closure(files: Iterator[Path]) -> list[Path]:
    found: set[Path] = set()
    waiting = [*files]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports_of(file)
    return sorted(found)


@cache
def _imports_of(file: Path) -> tuple[Path, ...]:
    return tuple(_imports(ast.parse(file.read_text(encoding="utf-8"))))


def _imports(tree: ast.AST) -> Iterator[Path]:
    """The files behind the imports of a module or function that count, also of imports inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "marwright":
            for alias in node.names:
                yield from _file(*node.module.split(".")[1:], alias.name)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "shipped_handler":
            yield from (ROOT / "handlers" / f"{each.value}.py" for each in node.args if isinstance(each, ast.Constant))


def _file(*parts: str) -> Iterator[Path]:
    """The module of a dotted name, or the one that has a name of this kind; none if it does not count."""
    module, folder = SOURCE.joinpath(*parts), SOURCE.joinpath(*parts[:-1])
    places = (module.with_suffix(".py"), module / "__init__.py", folder.with_suffix(".py"), folder / "__init__.py")
    if parts[0] not in NO_OUTPUT and len(parts) > 1:
        yield next(place for place in places if place.is_file())


def _name(file: Path) -> str:
    return str(file.relative_to(SOURCE if file.is_relative_to(SOURCE) else ROOT))


def record() -> None:
    """Write the record anew, and say what changed."""
    now = sources()
    old = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"sources": {}, "revisions": {}}
    for line in complaints(now, old):
        print(line.partition(". If ")[0].partition("; record")[0])
    text = json.dumps({"revisions": now.revisions, "sources": dict(sorted(now.hashes.items()))}, indent=1)
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(f"recorded {len(now.hashes)} modules of {len(now.revisions)} stations in {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    record()
