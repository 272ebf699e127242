"""What reaches files or runs commands is found however it is hidden, and what does neither raises no alarm."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import evasions
from example_models import EXAMPLES, Digits, scripted
from foreign_archives import minimal
from marwright.checks.budget import Budget
from marwright.checks.verify import verify
from marwright.checks.verify.contents import Contents, look_into
from marwright.checks.verify.operators import known
from marwright.checks.verify.torchscript import operators_in


def looked_into(data: bytes, name: str = "file") -> Contents:
    return look_into(io.BytesIO(data), name, Budget(len(data)))


def harmless(found: Contents) -> bool:
    """Whether a check would say so."""
    calls = found.operators
    return not (found.imports or found.unreadable or (calls is not None and (calls.forbidden or calls.unknown)))


# --- evasions ----------------------------------------------------------------------------------------------------


def test_no_evasion_passes_as_harmless() -> None:
    tried = [*evasions.modules(), *evasions.pickles()]
    passed = [name for name, file, data in tried if harmless(looked_into(data, file))]

    assert len({name for name, _, _ in tried}) == len(tried) > 800
    assert passed == []


@pytest.mark.parametrize("of", [evasions.modules, evasions.pickles])
def test_an_archive_with_an_evasion_fails(tmp_path: Path, of: Callable[[], object]) -> None:
    tried = list(of())[::15]  # type: ignore[call-overload]

    for name, file, data in tried:
        report = verify(minimal(tmp_path / "adder.mar", {file: data}), run=False)
        failed = {check.name for check in report.checks if check.state == "failed"}
        assert failed, name
        assert failed <= {"no pickles", "TorchScript"}, name
        assert file in report.could_execute, name


def test_most_spellings_are_torchscript_to_pytorch() -> None:
    """Otherwise their being refused would prove nothing; loading them runs none of them."""
    loaded = 0
    for statement in evasions.SPELLINGS.values():
        data = evasions.zipped(evasions.torchscript(statement))
        try:
            torch.jit.load(io.BytesIO(data))
        except RuntimeError:
            continue
        loaded += 1

    assert loaded >= 25


NAMES = st.sampled_from(
    ["torch", "ops", "aten", "from_file", "save", "add", "x", "self", "getattr", "f", "own", "forward"]
)
PARTS = st.one_of(NAMES, st.sampled_from([".", " . ", "(", ")", ", ", " = ", '"a"', "[", "]", "\\\n", ": Tensor "]))


@given(st.lists(PARTS, max_size=8).map("".join))
@example("f = torch.from_file")
@example("torch.\\\nsave")
def test_no_expression_around_a_forbidden_name_passes(more: str) -> None:
    """Wherever the syntax tree has the name, it is found; and where there is no tree, that is said."""
    for code in (f"{more}torch.save(x, 'a')", f"torch.save(x, 'a'){more}", f"f = ({more})\nf.from_file('a')"):
        judged = operators_in([("a.py", f"def forward(self, x):\n  {code}\n".encode())], Budget())
        assert judged.forbidden or judged.unknown, code


def watching(base: type) -> tuple[Callable[[bytes], None], set[str]]:
    """Unpickling in which what is imported does nothing but note that it was called."""
    called: set[str] = set()

    class Watched(base):
        def find_class(self, module: str, name: str) -> type:
            def new(cls: type, *_: object, **__: object) -> object:
                called.add(f"{module}.{name}")
                return object.__new__(cls)

            return type("Fake", (), {"__new__": new, "__init__": lambda *_, **__: None, "__setstate__": new})

        def persistent_load(self, pid: object) -> object:
            return pid

    def unpickle(data: bytes) -> None:
        called.clear()
        with suppress(Exception):  # whatever an unpickler raises
            Watched(io.BytesIO(data)).load()

    return unpickle, called


@pytest.mark.parametrize("base", [pickle._Unpickler, pickle.Unpickler], ids=["in Python", "in C"])  # type: ignore[attr-defined]
def test_whatever_an_unpickler_would_call_is_seen_in_any_order_of_steps(base: type) -> None:
    unpickle, called = watching(base)

    @settings(max_examples=1500)
    @given(st.lists(st.sampled_from(evasions.STEPS), max_size=12).map(b"".join))
    @example(b"cposix\nsystem\n]R")
    def compared(data: bytes) -> None:
        unpickle(data + b".")
        assert not called or not harmless(looked_into(data + b".", "notes.txt")), data

    compared()


@given(st.binary(max_size=40), st.sampled_from(list(evasions.PICKLES)))
def test_no_bytes_before_a_pickle_hide_what_it_calls(start: bytes, kind: str) -> None:
    unpickle, called = watching(pickle._Unpickler)  # type: ignore[attr-defined]
    data = start + evasions.PICKLES[kind]
    unpickle(data)

    assert called <= {"_codecs.encode"} or not harmless(looked_into(data)), data


# --- no false alarms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_like_those_of_torchserve_raises_no_alarm(name: str) -> None:
    found = looked_into(EXAMPLES[name](), "model.pt")

    assert harmless(found), found
    assert found.operators is not None
    assert found.operators.known


def saved_array(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def torch_saved(value: object, **options: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


class Holds(torch.nn.Module):
    """Has given numbers."""

    def __init__(self, numbers: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("numbers", numbers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def plain_files() -> dict[str, bytes]:
    """Files that belong into archives and run nothing."""
    state = Digits().state_dict()
    kinds = {
        str(kind): torch.zeros(3, 2).to(kind) for kind in (torch.half, torch.bfloat16, torch.int8, torch.complex64)
    }
    with io.BytesIO() as stream:
        np.savez_compressed(stream, words=np.array(["a", "b"]), numbers=np.arange(6).reshape(2, 3))
        arrays = stream.getvalue()
    return {
        "state.pt": torch_saved(state),
        "old_state.pth": torch_saved(state | kinds, _use_new_zipfile_serialization=False),
        "empty.pth": torch_saved({}, _use_new_zipfile_serialization=False),
        "checkpoint.ckpt": torch_saved({"epoch": 3, "lr": 0.1, "state": state, "sizes": [1, (2, None)]}),
        "parameter.bin": torch_saved(torch.nn.Parameter(torch.ones(2))),
        "quantized.pt": torch_saved(torch.quantize_per_tensor(torch.ones(3), 0.1, 2, torch.qint8)),
        "plain.pkl": pickle.dumps({"a": [1, 2.5, None, True, b"x"], "b": {"c", "d"}, "e": frozenset({1})}),
        "numbers.npy": saved_array(np.arange(12, dtype=np.float32).reshape(3, 4)),
        "words.npy": saved_array(np.array(["tea", "coffee"])),
        "records.npy": saved_array(np.zeros(2, dtype=[("id", "<i4"), ("name", "<U8")])),
        "arrays.npz": arrays,
        "labels.txt": b"car\nbus\nRail\n" + b"cat\ndog\n(t\n" + "Möbel\n".encode(),
        "index_to_name.json": json.dumps({"0": ["n01", "cat"]}).encode(),
        "digests.bin": bytes(range(256)) * 64,
        "salt.digests": b"\x80\x04" + bytes(range(64)),  # as any bytes may begin
        "weights.bin": b"\x00" * 400,
        "vocab.txt": b"[PAD]\n[UNK]\n" + b"\n".join(b"##%d" % n for n in range(200)),
        "data.zip": evasions.zipped({"a.txt": b"x", "b/c.json": b"{}"}),
        "notes.gz": gzip.compress(b"text " * 100),
        "empty": b"",
    }


@pytest.mark.parametrize("name", plain_files())
def test_a_plain_file_raises_no_alarm(name: str) -> None:
    found = looked_into(plain_files()[name], name)

    assert harmless(found), found
    assert not found.code


NUMBERS = {
    "a number of the registry, and an end": b"\x82O.",
    "a list, a long number of the registry, and an end": b"]\x84\xb4M\x9b\xea.",
    "an instance of what no module can be called": b"(i\x94=Il\xa6<\n<\x8a\n.",
}


@pytest.mark.parametrize("start", NUMBERS.values(), ids=NUMBERS)
def test_numbers_of_a_tensor_that_spell_a_pickle_by_chance_raise_no_alarm(start: bytes) -> None:
    """Of a hundred tensors with random numbers one in a hundred had such a beginning."""
    weights = torch.frombuffer(bytearray(start.ljust(64, b"\x9e")), dtype=torch.uint8)

    assert harmless(looked_into(torch_saved({"w": weights}), "state.pt"))
    assert harmless(looked_into(scripted(Holds(weights)), "model.pt"))
    assert not harmless(looked_into(start, "state.pkl"))


@given(st.text(max_size=300))
@example("cat\ndog\n")
def test_texts_raise_no_alarm(text: str) -> None:
    """Words and lines are no pickles, although each of their letters is an opcode."""
    assert harmless(looked_into(text.encode(), "labels.txt"))


def test_our_own_archive_raises_no_alarm(tiny_archive: Path) -> None:
    report = verify(tiny_archive, run=False)

    assert report.holds, [check for check in report.checks if check.state == "failed"]


def test_an_archive_for_onnx_runtime_raises_no_alarm(tiny_onnx: tuple[object, Path]) -> None:
    report = verify(tiny_onnx[1], run=False)

    assert report.holds, [check for check in report.checks if check.state == "failed"]


# --- what is claimed ------------------------------------------------------------------------------------------------


def test_what_is_known_is_an_operator_of_the_installed_torch_and_names_no_file() -> None:
    schemas = torch._C._jit_get_all_schemas()
    there = {schema.name for schema in schemas}
    spaces = {name.partition("::")[0] for name in there}
    listed = {f"{space}::{name}" for space in spaces for name in known(space)}
    reads = {
        schema.name
        for schema in schemas
        for argument in schema.arguments
        if argument.name in ("filename", "path", "file", "url", "uri", "command", "dst", "to")
        and "str" in str(argument.type)
    }

    assert len(listed) > 2000
    assert not listed & {"aten::from_file", "aten::save", "prim::rpc_sync", "prim::rpc_async", "prim::PythonOp"}
    assert {"aten::from_file", "aten::save"} <= reads
    assert not listed & reads


def test_a_program_of_torch_export_is_judged(tmp_path: Path) -> None:
    program = torch.export.export(Digits().eval(), (torch.rand(2, 1, 28, 28),))
    torch.export.save(program, tmp_path / "program.pt2")
    data = (tmp_path / "program.pt2").read_bytes()
    found = looked_into(data, "program.pt2")

    assert found.operators is not None
    assert {"aten::conv2d", "aten::linear"} <= found.operators.known
    assert not found.operators.forbidden | found.operators.unknown
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in ((b"aten.relu.default", b"evil.run.default"), (b"aten.relu.default", b"aten.from_file.default")):
        changed = {name: one.replace(old, new) for name, one in members.items()}
        assert not harmless(looked_into(evasions.zipped(changed), "program.pt2"))


class Reshapes(torch.nn.Module):
    """Computes with sizes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0] * 2, -1)[: x.shape[0] + 3]


@pytest.fixture(scope="module")
def of_any_size(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a program whose inputs may have any length."""
    rows = torch.export.Dim("rows", min=4, max=100)
    program = torch.export.export(Reshapes(), (torch.ones(5, 4),), dynamic_shapes={"x": {0: rows}})
    file = tmp_path_factory.mktemp("program") / "sized.pt2"
    torch.export.save(program, file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_program(members: dict[str, bytes], change: Callable[[str], str]) -> Contents:
    (name,) = [name for name in members if name.endswith("models/model.json")]
    changed = members | {name: change(members[name].decode()).encode()}
    return looked_into(evasions.zipped(changed), "sized.pt2")


def test_a_program_for_inputs_of_any_length_raises_no_alarm(of_any_size: dict[str, bytes]) -> None:
    found = with_program(of_any_size, lambda program: program)

    assert b"Symbol(" in b"".join(of_any_size.values())
    assert harmless(found), found
    assert found.operators is not None


EVIL = "__import__('os').system('id')"
EXPRESSIONS = re.compile(r'"expr_str": ?"[^"]*"')


@pytest.mark.parametrize(
    "expression",
    [
        *(EVIL, "().__class__", "Symbol(__import__('os'))", "Symbol('s0').func('os')", "S('id')", "Symbol('id()')"),
        *("Integer(f'{s0}')", "[s0]", "s0 if s1 else s2", "lambda: s0", "s0 #", "Symbol('s1\\\\\\n')", "eval(s0)"),
        *("Symbol(*s0.a)", "Symbol('s0', **s1.a)", "ｅval(s0)", "s0!", "S\\u0079mbol.a"),
    ],
)
def test_an_expression_that_does_more_than_compute_is_found(of_any_size: dict[str, bytes], expression: str) -> None:
    found = with_program(of_any_size, lambda program: EXPRESSIONS.sub(lambda _: f'"expr_str": "{expression}"', program))

    assert not harmless(found)


@pytest.mark.parametrize(
    "hide",
    [
        lambda program: program.replace('"graph_module"', '"graph_modul\\u0065"'),
        lambda program: program.replace('"expr_str"', '"\\u0065xpr_str"'),
        lambda program: program.replace('"expr_str"', f'"expr_str": "{EVIL}", "expr_str"'),
        lambda program: program[:-1],
        lambda program: " " * (9 << 20) + program,
    ],
    ids=["escaped program", "escaped expression", "twice", "broken", "long"],
)
def test_no_spelling_of_its_json_hides_a_program(of_any_size: dict[str, bytes], hide: Callable[[str], str]) -> None:
    def evil(program: str) -> str:
        return hide(EXPRESSIONS.sub(lambda _: f'"expr_str": "{EVIL}"', program))

    assert not harmless(with_program(of_any_size, evil))


@pytest.mark.parametrize("shape", ["(1e400,)", "(1e400j,)", "(-1,)", "(True,)", "('1',)", "(1.0,)", "1e400", "None"])
def test_an_array_without_a_shape_is_unreadable(shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    found = looked_into(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header, "a.npy")

    assert found.unreadable


def test_code_that_is_too_long_is_not_read() -> None:
    members = {"m/code/a.py": b"a " * (40 << 20), "m/version": b"3"}
    budget = Budget(1 << 20)
    data = evasions.zipped(members, zipfile.ZIP_DEFLATED)
    begun = time.thread_time()
    found = look_into(io.BytesIO(data), "big.pt", budget)

    assert not harmless(found)
    assert time.thread_time() - begun < 2


class Adds(torch.nn.Module):
    """Adds one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_operators_of_phones_are_judged_by_the_same_list() -> None:
    data = torch.jit.script(Adds())._save_to_buffer_for_lite_interpreter(_use_flatbuffer=False)
    assert harmless(looked_into(data, "a.ptl"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name.endswith(".pkl")}
    (bytecode,) = [name for name in members if name.endswith("bytecode.pkl")]
    evil = members[bytecode].replace(b"X\x09\x00\x00\x00aten::add", b"X\x0a\x00\x00\x00aten::save")
    assert evil != members[bytecode]
    alone = {bytecode: evil}

    assert "aten::save" in str(looked_into(evasions.zipped(members | alone), "a.ptl").operators)
    assert "aten::save" in str(looked_into(evasions.zipped(alone), "a.ptl").operators)
    flat = torch.jit.script(Adds())._save_to_buffer_for_lite_interpreter(_use_flatbuffer=True)
    assert not harmless(looked_into(flat, "a.ptl"))


def test_what_is_nested_too_deeply_is_not_called_clean() -> None:
    data = pickle.dumps({"a": 1})
    for _ in range(8):
        data = evasions.zipped({"a": data})

    assert "too deeply" in str(looked_into(data).unreadable)


def test_a_module_too_long_to_be_judged_is_not_called_harmless() -> None:
    with zipfile.ZipFile(io.BytesIO(scripted(Digits()))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["digits/code/__torch__/more.py"] = b"x = 1\n" * 200_000

    assert "too long" in str(looked_into(evasions.zipped(members)).operators)
