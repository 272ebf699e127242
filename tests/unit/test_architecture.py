"""Who may import whom, as docs/architecture.md says it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from marwright.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "marwright"
SOURCES = sorted(SOURCE.rglob("*.py"))
HANDLERS = sorted((ROOT / "handlers").glob("*.py"))

# What each room may import besides itself and the rooms of the rows above it, lowest first.
# Rooms of one row do not know each other.
FLOORS: list[set[str]] = [
    {"errors", "installed", "resources", "formats"},
    {"processes"},
    {"files", "console"},
    {"pretrained"},
    {"mar"},  # knows nothing of runs, so it stands below all that makes one
    {"encoder"},
    {"schemes"},
    {"runtimes", "sources"},
    {"metrics"},
    {"tasks"},
    {"config"},
    {"workspace"},
    {"server"},
    {"model"},
    {"data", "training", "compression", "export", "archive"},  # the stations, which know nothing of each other
    {"road", "evaluation", "prediction", "bench", "checks"},
    {"release", "packaging", "explore", "fleet"},
    {"report"},
    {"cli"},
    {"__main__"},
]
LONGEST_FILE = 300
STATIONS = next(floor for floor in FLOORS if "training" in floor)


def room(file: Path) -> str:
    """The first folder, or the module, under src/marwright."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


ALLOWED = {one: set().union(*FLOORS[:at]) for at, floor in enumerate(FLOORS) for one in floor} | {
    "__init__": {"model", "fleet"}
}


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def place(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


@cache
def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(parsed(file)))


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Every import of a file, also inside functions: where it stands, and the full name of what is imported."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from ((place(file, node), alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((place(file, node), f"{module}.{alias.name}") for alias in node.names)


@cache
def uses(file: Path) -> list[tuple[str, str]]:
    """Every dotted name that is imported or run, such as ``torch.jit.load``; annotations are never run."""
    annotations: set[int] = set()
    for node in nodes(file):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                annotations |= {id(part) for part in ast.walk(annotation)}
    run = (node for node in nodes(file) if isinstance(node, ast.Attribute) and id(node) not in annotations)
    return [*imports(file), *((place(file, node), ast.unparse(node)) for node in run)]


def begins_with(name: str, *prefixes: str) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)


def rooms_imported(file: Path) -> Iterator[tuple[str, str]]:
    """The rooms of marwright that a file imports, and where."""
    for where, name in imports(file):
        top, _, rest = name.partition(".")
        if top == "marwright" and rest != "__version__":
            yield where, rest.split(".")[0]


def test_the_rooms_are_where_this_test_looks_for_them() -> None:
    assert {room(file) for file in SOURCES} == set(ALLOWED)
    assert HANDLERS


def test_a_room_imports_only_what_stands_below_it() -> None:
    wrong = [
        f"{where}: {room(file)} must not import marwright.{other}"
        for file in SOURCES
        for where, other in rooms_imported(file)
        if other not in ALLOWED[room(file)] | {room(file)}
    ]

    assert not wrong, "\n".join(wrong)


def test_stations_never_import_each_other() -> None:
    wrong = [
        f"{where}: the station {room(file)} must not import the station {other}"
        for file in SOURCES
        if room(file) in STATIONS
        for where, other in rooms_imported(file)
        if other in STATIONS - {room(file)}
    ]

    assert not wrong, "\n".join(wrong)


def test_no_two_rooms_need_each_other() -> None:
    needs: dict[str, set[str]] = defaultdict(set)
    for file in SOURCES:
        needs[room(file)] |= {other for _, other in rooms_imported(file)} - {room(file)}

    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_page_has_the_same_floors() -> None:
    table = PAGE.partition("| rooms | what they are |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert [set(re.findall(r"`(\w+)`", rooms)) for rooms in rows] == FLOORS


@pytest.mark.parametrize("page", [PAGE, GUIDE], ids=["architecture", "CONTRIBUTING"])
def test_every_place_that_the_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`([\w./-]+(?:/|\.\w+))`", page))
    made_by_a_build = ("runs/", "data/banking77.csv", "tokenizer.json", "setup_config.json", ".mar", ".venv")
    wrong = [
        place
        for place in named
        if ("/" in place or place.endswith(".py"))
        and not place.startswith(made_by_a_build)
        and not any((root / place).exists() for root in (ROOT, SOURCE))
    ]

    assert named
    assert not wrong


def test_imports_are_written_in_full() -> None:
    wrong = [f"{where}: {name}" for file in SOURCES + HANDLERS for where, name in imports(file) if name[0] == "."]

    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_knows_typer() -> None:
    wrong = [
        f"{where}: {room(file)} must not import {name}"
        for file in SOURCES
        if room(file) != "cli"
        for where, name in imports(file)
        if begins_with(name, "typer", "click")
    ]

    assert not wrong, "\n".join(wrong)


# What a handler's module may import besides; only archives for that runtime ship it.
LIBRARIES = {runtime.handler_module: set(runtime.packages) for runtime in RUNTIMES.values()}


def test_a_handler_imports_only_what_a_worker_has() -> None:
    has = {*sys.stdlib_module_names, "torch", "tokenizers", "ts", *(handler.stem for handler in HANDLERS)}
    wrong = [
        f"{where}: a worker must not import {name}"
        for file in HANDLERS
        for where, name in imports(file)
        if name.split(".")[0] not in has | LIBRARIES.get(file.stem, set())
    ]

    assert not wrong, "\n".join(wrong)


def test_one_file_of_an_archive_imports_torchserve() -> None:
    assert {file.name for file in HANDLERS for _, name in imports(file) if begins_with(name, "ts")} == {
        "torchserve_host.py"
    }


def test_the_build_ships_the_handlers_and_never_imports_them() -> None:
    handlers = {handler.stem for handler in HANDLERS}
    wrong = [
        f"{where}: {name} belongs to the worker"
        for file in SOURCES
        for where, name in imports(file)
        if name.split(".")[0] in handlers
    ]

    assert not wrong, "\n".join(wrong)


def test_every_call_of_the_build_to_torch_jit_stands_in_its_place() -> None:
    places = (SOURCE / "runtimes" / "jit.py", SOURCE / "schemes" / "static_linear.py")
    wrong = [
        f"{where}: {name} belongs into runtimes/jit.py"
        for file in SOURCES
        if file not in places
        for where, name in uses(file)
        if begins_with(name, "torch.jit")
    ]

    assert not wrong, "\n".join(wrong)


def test_nothing_that_is_leaving_pytorch_sooner_is_used() -> None:
    wrong = [
        f"{where}: {name} is leaving PyTorch"
        for file in SOURCES + HANDLERS
        for where, name in uses(file)
        if begins_with(name, "torch.ao", "torch.quantization", "torch.nn.quantized")
    ]

    assert not wrong, "\n".join(wrong)


def test_a_command_with_nothing_to_compute_does_not_wait_for_heavy_libraries() -> None:
    heavy = ["torch", "transformers", "datasets", "sklearn", "matplotlib", "pandas"]
    program = (
        "import sys, marwright.cli, marwright.road.pipeline, marwright.config, marwright.mar.worker\n"
        f"print(*[name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout.split() == []


def test_a_file_can_be_read_in_one_go() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCES + HANDLERS}
    wrong = [f"{file.relative_to(ROOT)} has {n} lines" for file, n in lengths.items() if n > LONGEST_FILE]

    assert not wrong, "\n".join(wrong)


def test_a_file_says_first_what_it_is_for() -> None:
    wrong = [str(file.relative_to(ROOT)) for file in SOURCES + HANDLERS if not ast.get_docstring(parsed(file))]

    assert not wrong, "\n".join(wrong)


def test_handlers_can_be_read_by_the_python_of_torchserves_images() -> None:
    for handler in HANDLERS:
        ast.parse(handler.read_text(encoding="utf-8"), str(handler), feature_version=(3, 9))


def test_handlers_run_on_the_python_of_torchserves_images() -> None:
    """Types are joined in annotations only, which the future import leaves unread; and nothing newer is called."""
    for handler in HANDLERS:
        tree = parsed(handler)
        assert "from __future__ import annotations\n" in handler.read_text(encoding="utf-8"), handler
        for node in ast.walk(tree):
            where = f"{handler.name}:{getattr(node, 'lineno', 0)}"
            assert not isinstance(node, ast.Match), where
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", "")
                joined = name in ("isinstance", "issubclass") and any(
                    isinstance(inner, ast.BinOp) for inner in ast.walk(node.args[1])
                )
                assert not joined, where
                strict = {keyword.arg for keyword in node.keywords} & {"strict", "slots", "kw_only"}
                assert not (name in ("zip", "dataclass") and strict), where


def test_handlers_use_nothing_newer_than_python_3_9() -> None:
    vermin = [sys.executable, "-c", "import vermin; vermin.main()", "--target=3.9-", "--violations"]
    done = subprocess.run([*vermin, *HANDLERS], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


# A manager of versions has a command of that name even where it starts nothing.
OLD_PYTHON = next(map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")), shutil.which("python3.9"))


@pytest.mark.skipif(OLD_PYTHON is None, reason="no Python 3.9 here")
def test_what_handlers_do_with_requests_runs_on_an_old_python(tmp_path: Path) -> None:
    """Of all of them those that need no package but, in name, PyTorch."""
    setup = {"max_instances": 5, "modules": {"cpu": {"runtime": "echo", "file": ""}}, "warm_up": [{"text": "tea"}]}
    (tmp_path / "setup_config.json").write_text(json.dumps(setup), encoding="utf-8")
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bad_request import BadRequest
from request_parsing import parse_request
import request_origin, text_fields
request = parse_request({"data": b'{"instances": ["tea"]}', "parameters": b'{"top_k": 3}'}, "", 5)
assert request.instances == [{"text": "tea", "top_k": 3}], request
try:
    parse_request({"body": b"{"}, "application/json", 5)
except BadRequest as error:
    print(error)

# The core, with a PyTorch that computes nothing.
from types import ModuleType, SimpleNamespace
torch = sys.modules["torch"] = ModuleType("torch")
torch.device = torch.Tensor = object
from model_core import Model, RawRequest
from resilient_handler import ResilientHandler
class Echo(ResilientHandler):
    def prepare(self, instance):
        return instance["text"]
    def predict(self, examples):
        return [self.runtime + text for text in examples]
sys.modules["echo"] = SimpleNamespace(load=lambda *_: "> ")
model = Model(Echo(), Path(sys.argv[2]))
model.load(SimpleNamespace(type="cpu"))
for answer in model.answer([RawRequest({"body": b'{"text": "tea"}'}), RawRequest({"body": b"{"}, "application/json")]):
    print(answer.status, answer.body.decode())
"""
    command = [str(OLD_PYTHON), "-B", "-I", "-c", program, str(HANDLERS[0].parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines() == [
        "The body is not valid JSON",
        '200 "> tea"',
        '400 {"code": 400, "type": "BadRequest", "message": "The body is not valid JSON"}',
    ], done.stderr
