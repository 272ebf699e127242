"""Looks into a file of an archive, and into every file inside it, by what it is and not by how it is called."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from marwright.checks.budget import Budget, OverBudget
from marwright.checks.verify import arrays, exported_programs, zip_files
from marwright.checks.verify.operators import KNOWN_CLASSES, Operators
from marwright.checks.verify.pickles import Pickles, pickles_in
from marwright.checks.verify.torchscript import LONGEST_CODE, operators_in

# A file in a file in a file, and so on; no format goes deeper.
DEEPEST = 4
PYTHON, BYTECODE, LIBRARY = "Python", "compiled Python", "machine code"
BY_SUFFIX = {
    ".py": PYTHON,
    ".pyc": BYTECODE,
    ".pyo": BYTECODE,
    ".so": LIBRARY,
    ".dll": LIBRARY,
    ".dylib": LIBRARY,
    ".pyd": LIBRARY,
}
# Linux, macOS and Windows; a library may have any name.
_MACHINE_CODE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ\x90\x00")
_PICKLES = (".pkl", ".pickle", ".pck", ".pth", ".pt", ".joblib", ".ckpt", ".dill", ".cloudpickle", ".sav", ".p")
_PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b\x08": lambda stream: gzip.GzipFile(fileobj=stream),
    **{b"BZh%d1AY&SY" % level: bz2.BZ2File for level in range(1, 10)},
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"]\x00\x00": lzma.LZMAFile,
}
_PACKED_OTHERWISE = (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c")
# Whose first bytes no unpickler goes beyond, by an opcode that there is not, or that takes from an empty stack.
_NO_PICKLE = (zip_files.BEGINNING, arrays.MAGIC, b"\x1f\x8b", b"\xfd7zXZ", b"]\x00\x00", *_PACKED_OTHERWISE)
_FAILURES = (
    zip_files.UnlikeZip,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    RuntimeError,
)
# Looking at one takes as long as so many opcodes; checkpoints have up to ten thousand.
_PER_FILE = 25
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_FLATBUFFER = b"PTMF"
_CHUNK, _IN_MEMORY = 1 << 16, 1 << 20
_STATES = ("/constants.pkl", "/bytecode.pkl")
# What PyTorch's own reader of TorchScript makes: objects of classes in the code, and lists of plain values.
_OF_TORCHSCRIPT = frozenset(
    f"torch.jit._pickle.{name}"
    for name in (
        *(f"build_{kind}list" for kind in ("bool", "double", "int", "tensor")),
        "build_tensor_from_id",
        "restore_type_tag",
    )
)


_Look = Callable[[BinaryIO, str, "Contents", Budget, int], None]


@dataclass
class Contents:
    """What was found in a file.

    ``code`` says in what ways it holds code beside TorchScript; ``imports`` are functions and classes that its pickles
    import; ``unreadable`` are the parts that could not be read to their end, with the reason.
    """

    code: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    operators: Operators | None = None

    def calls(self, operators: Operators) -> None:
        """Note what TorchScript calls."""
        self.operators = self.operators or Operators()
        self.operators |= operators


def look_into(stream: BinaryIO, name: str, budget: Budget) -> Contents:
    """Find everything in a file that some loader would run.

    Args:
        stream: the file; can seek.
        name: its name, which only adds suspicions.
        budget: what may be spent on the archive. What is beyond it counts as unreadable.
    """
    found = Contents()
    _look(stream, name, "", found, budget, DEEPEST)
    return found


def _look(stream: BinaryIO, name: str, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    """Look at a stream; ``inside`` is its name in the file that was asked about, or empty."""
    with _noting_what_fails(inside, found):
        if depth < 0:
            raise OverBudget("files are nested in it too deeply")
        budget.spend(items=_PER_FILE)
        stream.seek(0)
        start = stream.read(tarfile.BLOCKSIZE)
        # A file may be several things, to readers that look at its start and to those that look at its end.
        looks = list(_how_to_look(start))
        if zipfile.is_zipfile(stream) or start.startswith(zip_files.BEGINNING):
            looks.append(_look_into_zip)
        if start.startswith(_MACHINE_CODE):
            found.code.add(LIBRARY)
        if start[4:8] == _FLATBUFFER:
            found.calls(Operators(unknown={"a module for phones, which is not looked into"}))
        for look in looks:
            with _noting_what_fails(inside, found):
                look(stream, inside, found, budget, depth)
        if not start.startswith(_NO_PICKLE):
            named = PurePosixPath(name.lower()).suffix in _PICKLES and not looks
            marked = _begins_as_pickle(start) and not _is_storage(inside)
            _note(pickles_in(stream, budget, named=named, marked=marked), inside, found)


@contextmanager
def _noting_what_fails(inside: str, found: Contents) -> Iterator[None]:
    try:
        yield
    except (*_FAILURES, OverBudget) as error:
        found.unreadable.add(_said(inside, str(error) or type(error).__name__))


def _said(inside: str, reason: str) -> str:
    return " ".join((f"{inside}: {reason}" if inside else reason).split())


def _how_to_look(start: bytes) -> Iterator[_Look]:
    """How to look into what begins so, in each way in which it is a container."""
    if _begins_as_tar(start):  # its first bytes are a name, which may begin as anything
        yield _look_into_tar
    if start.startswith(arrays.MAGIC):
        yield _look_behind_array
    if start.startswith(_PACKED_OTHERWISE):
        yield _look_in_vain
    if _begins_as_zlib(start):
        yield _look_inflated
    if start.startswith(tuple(_PACKED)):
        yield _look_unpacked


def _note(pickles: Pickles, inside: str, found: Contents) -> None:
    found.imports |= pickles.imports
    if pickles.unreadable:
        found.unreadable.add(_said(inside, "a pickle that cannot be read to its end"))


def _begins_as_pickle(start: bytes) -> bool:
    """As one of protocol 2 or later does; older ones have no mark."""
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def _is_storage(inside: str) -> bool:
    """Whether it has the name that PyTorch gives to the numbers of a tensor, which may begin in any way."""
    path = PurePosixPath(inside.rpartition("!")[2])
    return path.name.isdecimal() and path.parent.name in ("data", "constants", "tensors")


def _begins_as_zlib(start: bytes) -> bool:
    return len(start) > 2 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0


def _begins_as_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _look_in_vain(_: BinaryIO, inside: str, found: Contents, *__: Any) -> None:
    found.unreadable.add(_said(inside, "compressed in a way that is not looked into"))


def _look_behind_array(stream: BinaryIO, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    rest = arrays.after_the_array(stream, budget)
    if rest is not None:
        _look(rest, ".pkl", _said(inside, "behind the array"), found, budget, depth - 1)


def _look_inflated(stream: BinaryIO, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    """Look at what zlib makes of it; nothing if it only begins as if."""
    stream.seek(0)
    inflate = zlib.decompressobj()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        try:
            while not inflate.eof and (chunk := stream.read(_CHUNK)):
                while chunk:
                    data = inflate.decompress(chunk, _CHUNK)
                    budget.spend(size=len(data))
                    copy.write(data)
                    chunk = inflate.unconsumed_tail
        except zlib.error:
            pass  # an unpickler that reads it as it comes gets as far
        if copy.tell():
            _look(copy, "", _said(inside, "unpacked"), found, budget, depth - 1)  # type: ignore[arg-type]


def _look_unpacked(stream: BinaryIO, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    stream.seek(0)
    start = stream.read(len(max(_PACKED, key=len)))
    unpacks = next(how for magic, how in _PACKED.items() if start.startswith(magic))
    stream.seek(0)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy, unpacks(stream) as packed:
        with _noting_what_fails(inside, found):
            while data := packed.read(_CHUNK):
                budget.spend(size=len(data))
                copy.write(data)
        _look(copy, "", _said(inside, "unpacked"), found, budget, depth - 1)  # type: ignore[arg-type]


def _look_into_tar(stream: BinaryIO, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as archive:
        for info in archive:
            budget.spend(items=_PER_FILE)
            if info.isfile() and (data := archive.extractfile(info)) is not None:
                _suspect(info.name, found)
                _look(data, info.name, f"{inside}!{info.name}".lstrip("!"), found, budget, depth - 1)  # type: ignore[arg-type]
        end = archive.offset
    stream.seek(end)
    # Other readers go on where this one meets a header that it cannot read.
    if stream.read(len(_END_OF_TAR)) != _END_OF_TAR:
        raise tarfile.ReadError("its files end without the blocks that end a tar file")


def _suspect(name: str, found: Contents) -> None:
    if (kind := BY_SUFFIX.get(PurePosixPath(name.lower()).suffix)) is not None:
        found.code.add(kind)


def _look_into_zip(stream: BinaryIO, inside: str, found: Contents, budget: Budget, depth: int) -> None:
    with zip_files.opened(stream, budget) as archive:
        infos = archive.infolist()
        root = infos[0].orig_filename.partition("/")[0] if infos else ""
        # torch.load leaves a file to TorchScript's reader if it finds the constants there; the reader finds any case.
        names = {info.orig_filename for info in infos}
        to_torch = f"{root}/constants.pkl" in names
        is_torchscript = any(_is_code(name) or name.lower().endswith(_STATES) for name in names)
        is_program = any(_is_of_program(name) for name in names)
        code: list[tuple[str, bytes]] = []
        for info in infos:
            budget.spend(items=_PER_FILE)
            name = info.orig_filename
            here = f"{inside}!{name}".lstrip("!")
            if info.is_dir() and not info.file_size:
                continue
            if name.lower() == f"{root}/model.json".lower():
                found.calls(Operators(unknown={"a module of PyTorch before 1.2, which is not looked into"}))
            with _noting_what_fails(here, found), zip_files.member(archive, info, budget) as data:
                if is_torchscript and (_is_code(name) or name.lower().endswith(".py")):
                    if info.file_size > LONGEST_CODE:
                        found.calls(Operators(unknown={f"{here}, too long to be judged"}))
                        continue
                    budget.spend(size=info.file_size)
                    code.append((here, data.read(info.file_size)))
                elif PurePosixPath(name.lower()).suffix == ".json":
                    operators = exported_programs.operators_in(data, budget, beside_program=is_program)
                    if operators is not None:
                        found.calls(operators)
                else:
                    _suspect(name, found)
                if is_torchscript and name.lower().endswith("pkl"):
                    _look_at_state(data, here, to_torch, found, budget)
                else:
                    _look(data, name, here, found, budget, depth - 1)
        if is_torchscript:
            found.calls(operators_in(code, budget))


def _is_code(name: str) -> bool:
    return "/code/" in f"/{name.lower()}" and name.lower().endswith(".py")


def _is_of_program(name: str) -> bool:
    path = f"/{name.lower()}"
    return path.endswith(("/archive_format", "/serialized_exported_program.json")) or "/models/" in path


def _look_at_state(data: BinaryIO, here: str, to_torch: bool, found: Contents, budget: Budget) -> None:
    """Look at a pickle of TorchScript, whose own reader makes objects of classes in the code only."""
    pickles = pickles_in(data, budget, named=True)
    if to_torch:
        own = {name for name in pickles.imports if name in _OF_TORCHSCRIPT or name.startswith("__torch__.")}
        pickles.imports -= own
        found.calls(Operators(unknown=set(_foreign_classes(own))))
    _note(pickles, here, found)
    if here.lower().endswith("bytecode.pkl"):
        operators = Operators()
        operators.add(pickles.operators)
        found.calls(operators)


def _foreign_classes(names: Iterable[str]) -> Iterable[Any]:
    """Classes written in C++ that are not those of PyTorch's own packed weights."""
    for name in names:
        prefix, _, rest = name.partition("__torch__.torch.classes.")
        if not prefix and rest.partition(".")[0] not in KNOWN_CLASSES:
            yield f"the class {name}"
