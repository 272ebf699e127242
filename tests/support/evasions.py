"""Ways to hide what reaches files or runs commands: each spelling in each place and container."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import pickle
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from example_models import saved

FILE = "/tmp/marwright-evasion"


class Inner(torch.nn.Module):
    """Its code lies in a file of its own, and one of its methods is called when it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> tuple[bool]:
        return (self.training,)

    @torch.jit.export
    def __setstate__(self, state: tuple[bool]) -> None:
        self.training = state[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.mul(x, 2)


class Outer(torch.nn.Module):
    """Has a child."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Inner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(self.own(x), x)


# Statements of a method that has a tensor x.
SPELLINGS = {
    "plain": f'y = torch.from_file("{FILE}")',
    "blanks": f'y = torch  .  from_file ("{FILE}")',
    "goes on": f'y = torch.\\\n      from_file("{FILE}")',
    "comment in brackets": f'y = torch.from_file( # a comment\n      "{FILE}")',
    "function by another name": f'f = torch.from_file\n    y = f("{FILE}")',
    "namespace by another name": f't = torch\n    y = t.from_file("{FILE}")',
    "operators": f'y = ops.aten.from_file("{FILE}")',
    "operators by another name": f'o = ops.aten\n    y = o.from_file("{FILE}")',
    "all operators by another name": f'o = ops\n    y = o.aten.from_file("{FILE}")',
    "by attribute": f'y = getattr(torch, "from_file")("{FILE}")',
    "by attribute of operators": f'y = getattr(ops.aten, "from_file")("{FILE}")',
    "by escaped attribute": f'y = getattr(torch, "from\\137file")("{FILE}")',
    "brackets": f'y = (torch).from_file("{FILE}")',
    "autograd": f'y = torch.autograd.from_file("{FILE}")',
    "with a type": f'y : Tensor = torch.from_file("{FILE}")',
    "as argument": f'y = torch.add(torch.from_file("{FILE}"), 1)',
    "in a list": f'y = [torch.from_file("{FILE}")]',
    "in a comprehension": f'y = [torch.from_file("{FILE}") for i in range(1)]',
    "in a condition": f'if bool(torch.from_file("{FILE}")):\n      pass\n    else:\n      pass',
    "in a loop": f'for i in range(torch.numel(torch.from_file("{FILE}"))):\n      pass',
    "in an assertion": f'assert bool(torch.from_file("{FILE}")), "no"',
    "in a function": f'def g(z: Tensor) -> Tensor:\n      return torch.from_file("{FILE}")\n    y = g(x)',
    "behind a string": f's = "\\"#"\n    y = torch.from_file("{FILE}")',
    "save": f'torch.save(x, "{FILE}")',
    "save by another name": f'f = torch.save\n    f(x, "{FILE}")',
    "save as operator": f'ops.aten.save(x, "{FILE}")',
    "remote": "y = ops.prim.rpc_sync(\"other\", x, [])",
    "an operator of somebody's": f'y = ops.image.read_file("{FILE}")',
    "an operator nobody knows": "y = torch.runs_a_command(x)",
    "a namespace nobody knows": "y = ops.evil.run(x)",
    "a class of somebody's": "y = __torch__.torch.classes.evil.Shell()",
    "a class by another name": "c = __torch__.torch.classes\n    y = c.evil.Shell()",
    "fork": f'y = fork(torch.from_file, "{FILE}")',
}  # fmt: skip


def torchscript(statement: str, place: str = "forward") -> dict[str, bytes]:
    """The members of a TorchScript file with a statement in one of its methods."""
    stream = io.BytesIO(_whole())
    with zipfile.ZipFile(stream) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("debug_pkl")}
    marks = {
        "forward": (b"    x: Tensor) -> Tensor:\n", b"torch.add"),
        "child": (b"    x: Tensor) -> Tensor:\n", b"torch.mul"),
        "loading": (b"-> NoneType:\n", b"__setstate__"),
    }
    mark, within = marks[place]
    done = 0
    for name, data in members.items():
        if name.endswith(".py") and within in data:
            at = data.index(
                mark, data.index(within) if place == "loading" else data.rindex(b"def ", 0, data.index(within))
            )
            at += len(mark)
            text = statement.replace("x", "state") if place == "loading" and "(x" in statement else statement
            members[name] = data[:at] + b"    " + text.encode() + b"\n" + data[at:]
            done += 1
    assert done == 1, place
    return members


def _whole(found: list[bytes] = []) -> bytes:  # noqa: B006 (scripting takes long, and is done once)
    if not found:
        found.append(saved(torch.jit.script(Outer().eval())))
    return found[0]


def zipped(members: Mapping[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of a zip file; a list may have a name twice."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    """The bytes of a tar file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _upper(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """PyTorch looks for names in any case."""
    return {name.partition("/")[0] + "/" + name.partition("/")[2].upper(): data for name, data in members.items()}


def _rooted(members: Mapping[str, bytes], root: str) -> dict[str, bytes]:
    return {f"{root}/{name.partition('/')[2]}": data for name, data in members.items()}


def _twice(members: Mapping[str, bytes], *, evil_first: bool) -> bytes:
    """Each name twice, harmless and not; readers differ in which one they take."""
    with zipfile.ZipFile(io.BytesIO(_whole())) as archive:
        good = {name: archive.read(name) for name in archive.namelist()}
    both = [list(members.items()), [(name, good[name]) for name in members]]
    return zipped(list(itertools.chain(*(both if evil_first else reversed(both)))))


MODULE_CONTAINERS: dict[str, Callable[[dict[str, bytes]], tuple[str, bytes]]] = {
    "model": lambda members: ("model.pt", zipped(members)),
    "other suffix": lambda members: ("weights.bin", zipped(members)),
    "no suffix": lambda members: ("vocabulary", zipped(members)),
    "deflated": lambda members: ("model.PT", zipped(members, zipfile.ZIP_DEFLATED)),
    "capitals": lambda members: ("model.pt", zipped(_upper(members))),
    "another root": lambda members: ("model.pt", zipped(_rooted(members, "Any Root é"))),
    "second root": lambda members: ("model.pt", zipped({"first/version": b"3"} | members)),
    "twice, last": lambda members: ("model.pt", _twice(members, evil_first=False)),
    "twice, first": lambda members: ("model.pt", _twice(members, evil_first=True)),
    "in a zip": lambda members: ("data.zip", zipped({"inner.txt": zipped(members)})),
    "in a packed zip": lambda members: ("data.zip", zipped({"a/b": zipped(members)}, zipfile.ZIP_DEFLATED)),
    "in a tar": lambda members: ("data.tar", tarred("inner", zipped(members))),
    "gzipped": lambda members: ("notes.txt", gzip.compress(zipped(members))),
}


def modules() -> Iterator[tuple[str, str, bytes]]:
    """Names, file names and bytes: every spelling plainly, and in every place and container in turn."""
    places = ["forward", "child", "loading"]
    for number, (spelling, statement) in enumerate(SPELLINGS.items()):
        chosen = {("forward", "model")}
        for turn in range(4):
            chosen.add(
                (places[(number + turn) % 3], list(MODULE_CONTAINERS)[(3 * number + turn) % len(MODULE_CONTAINERS)])
            )
        for place, container in sorted(chosen):
            yield f"{spelling}, {place}, {container}", *MODULE_CONTAINERS[container](torchscript(statement, place))


# --- pickles ---------------------------------------------------------------------------------------------------------


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1",)


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


_CALL = _text("id") + b"\x85R."
_IMPORT_AND_CALL = _text("system") + b"\x93" + _CALL
_METHOD = b"\x80\x04" + _text("torch.storage") + _text("UntypedStorage.from_file")
EMPTY = b"\x80\x02)."
HARMLESS = pickle.dumps({"a": [1, 2.0, "three"]}, 2)
PICKLES = {
    **{f"protocol {number}": pickle.dumps([Runs()], number) for number in range(6)},
    "instance": b"(S'id'\niposix\nsystem\n.",
    "object": b"(cposix\nsystem\nS'id'\no.",
    "new object": b"\x80\x02cposix\nsystem\n" + b"U\x02id\x85\x81.",
    "new object with keywords": b"\x80\x04" + _text("posix") + _text("system") + b"\x93" + _text("id") + b"\x85}\x92.",
    "remembered": b"\x80\x04" + _text("posix") + b"\x940" + _text("system") + b"\x940h\x00h\x01\x93" + _CALL,
    "remembered under a number": b"S'posix'\np9\n0S'system'\np07\n0g9\ng7\n\x93S'id'\n\x85R.",
    "copied": b"\x80\x04" + _text("posix") + b"20" + _text("system") + b"\x93" + _CALL,
    "decoys": b"\x80\x04" + _text("posix") + _text("system") + _text("collections") + b"0\x93" + _CALL,
    "behind a mark": b"\x80\x04" + _text("posix") + b"(N1" + _text("system") + b"\x93" + _CALL,
    "escaped": b"S'\\x70osix'\nS'syste\\155'\n\x93S'id'\n\x85R.",
    "escaped unicode": b"V\\u0070osix\nVsystem\n\x93S'id'\n\x85R.",
    "put together": b"\x80\x04c_codecs\nencode\n" + _text("cbfvk") + _text("rot13") + b"\x86R" + _IMPORT_AND_CALL,
    "an extension": b"\x80\x02\x82\x01U\x02id\x85R.",
    "a method of what is harmless": _METHOD + b"\x93" + _CALL,
    "behind a long string": b"\x80\x04B\x70\x11\x01\x00" + bytes(70_000) + b"0" + pickle.dumps(Runs(), 4)[2:],
    "behind a long line": b"S'" + b"a" * 70_000 + b"'\n0cposix\nsystem\nS'id'\n\x85R.",
    "cut after the call": pickle.dumps(Runs(), 2)[:-1],
    "broken after the call": pickle.dumps(Runs(), 2)[:-1] + b"\xff\xff",
    "the second one": HARMLESS + pickle.dumps(Runs(), 2),
    "the hundredth one": HARMLESS * 99 + pickle.dumps(Runs(), 0),
    "imported only": b"\x80\x02cposix\nsystem\n.",
    "state": b"\x80\x02cposix\nsystem\n}U\x01aK\x01sb.",
}  # fmt: skip


# Opcodes with their arguments, to be put together in any order.
STEPS = [
    *(b"cposix\nsystem\n", b"(iposix\nsystem\n", b"\x8c\x05posix\x94\x8c\x06system\x93"),
    *(bytes([code]) for code in b"\x93Ro\x81\x92b()}]Nt\x85\x86\x87012aesuld\x90\x91\x8f\x94\x88Q.\x97\x98"),
    *(b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"p0\n", b"g0\n", b"I1\n", b"I01\n", b"K\x01", b"M\x01\x00", b"L1L\n"),
    *(b"\x8a\x01\x05", b"F1.0\n", b"S'posix'\n", b"U\x05posix", b"Vsystem\n", b"X\x06\0\0\0system", b"C\x01a"),
    *(b"P1\n", b"\x80\x04", b"\x82\x01"),
]


def _legacy(data: bytes) -> bytes:
    """The old format of torch.save, with something else for its object."""
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    return b"".join([*parts, data, pickle.dumps([], 2)])


def _behind_storages(data: bytes) -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue() + data


def _array(data: bytes) -> bytes:
    """An array of objects, whose values are what follows its header."""
    stream = io.BytesIO()
    np.save(stream, np.array([None]), allow_pickle=True)
    whole = stream.getvalue()
    return whole[: whole.index(b"\n") + 1] + data


def _behind_array(data: bytes) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    return stream.getvalue() + data


def _polyglot_tar(data: bytes) -> bytes:
    """To an unpickler a string as long as the header of an empty file, and then something else."""
    info = tarfile.TarInfo("B" + (tarfile.BLOCKSIZE - 5).to_bytes(4, "little").decode("latin-1") + "a")
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT, "latin-1"))
    return bytes(header) + b"0" + data


PICKLE_CONTAINERS: dict[str, Callable[[bytes], tuple[str, bytes]]] = {
    "pickle": lambda data: ("model.pkl", data),
    "capitals": lambda data: ("MODEL.PKL", data),
    "a text": lambda data: ("notes.txt", data),
    "no suffix": lambda data: ("weights", data),
    "binary": lambda data: ("pytorch_model.bin", data),
    "image": lambda data: ("logo.png", data),
    "gzip": lambda data: ("model.pkl.gz", gzip.compress(data)),
    "bzip2": lambda data: ("data", bz2.compress(data)),
    "xz": lambda data: ("data.xz", lzma.compress(data)),
    "zlib": lambda data: ("model.joblib", zlib.compress(data)),
    "tar": lambda data: ("old.pt", tarred("pickle", data)),
    "tar too": lambda data: ("model.pkl", _polyglot_tar(data)),
    "tar and zip": lambda data: ("model.pt", tarred("pickle", data) + zipped({"a": b"a"})),
    "tar without its end": lambda data: ("old.pt", tarred("a", b"")[: tarfile.BLOCKSIZE] + b"x" * 512 + data),
    "torch": lambda data: ("model.pth", zipped({"archive/data.pkl": data, "archive/version": b"3"})),
    "torch, capitals": lambda data: ("model.pth", zipped({"archive/DATA.PKL": data})),
    "torch, two roots": lambda data: ("model.pth", zipped({"a/data.pkl": data, "b/constants.pkl": EMPTY})),
    "torch, twice": lambda data: ("model.pth", zipped([("a/data.pkl", data), ("a/data.pkl", HARMLESS)])),
    "torchscript": lambda data: ("m.pt", zipped({"a/data.pkl": data, "a/constants.pkl": EMPTY, "a/code/b.py": b""})),
    "any member": lambda data: ("model.zip", zipped({"a/readme": data}, zipfile.ZIP_DEFLATED)),
    "zip in zip": lambda data: ("data.bin", zipped({"a": zipped({"b": data})})),
    "before a zip": lambda data: ("both.bin", data + zipped({"a": b"a"})),
    "npy": lambda data: ("words.npy", _array(data)),
    "npy by another name": lambda data: ("words.dat", _array(data)),
    "behind an npy": lambda data: ("words.npy", _behind_array(data)),
    "npz": lambda data: ("words.npz", zipped({"a.npy": _array(data)})),
    "torch, old": lambda data: ("model.pt", _legacy(data)),
    "torch, old, behind the tensors": lambda data: ("model.pt", _behind_storages(data)),
}  # fmt: skip


def pickles() -> Iterator[tuple[str, str, bytes]]:
    """Names, file names and bytes: every pickle in every container."""
    for (kind, data), (container, packed) in itertools.product(PICKLES.items(), PICKLE_CONTAINERS.items()):
        yield f"{kind}, {container}", *packed(data)
