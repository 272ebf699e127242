"""Looks into a file of an archive, and into every file inside it, by what it is and not by how it is called."""

from __future__ import annotations

import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from marwright.checks.budget import Budget, OverBudget
from marwright.checks.verify import arrays, exported_programs, packed_streams, torchscript, zip_files
from marwright.checks.verify.operators import Operators
from marwright.checks.verify.pickles import Pickles, pickles_in
from marwright.formats.signatures import ZIP

# A file in a file in a file, and so on; no format goes deeper.
DEEPEST = 4
PYTHON, BYTECODE, LIBRARY = "Python", "compiled Python", "machine code"
BY_SUFFIX = {
    ".py": PYTHON,
    **dict.fromkeys((".pyc", ".pyo"), BYTECODE),
    **dict.fromkeys((".so", ".dll", ".dylib", ".pyd"), LIBRARY),
}
# Linux, macOS and Windows; a library may have any name.
_MACHINE_CODE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ\x90\x00")
PICKLES = (".pkl", ".pickle", ".pck", ".pth", ".pt", ".joblib", ".ckpt", ".dill", ".cloudpickle", ".sav", ".p")
_NO_PICKLE = (ZIP, arrays.MAGIC, *packed_streams.NO_PICKLE)
_FAILURES = (
    OverBudget,
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
_IN_MEMORY = 1 << 20


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

    def calls_unknown(self, what: str) -> None:
        """Note something that calls nobody knows what."""
        self.calls(Operators(unknown={what}))


def look_into(stream: BinaryIO, name: str, budget: Budget) -> Contents:
    """Find everything in a file that some loader would run.

    Args:
        stream: the file; can seek.
        name: its name, which only adds suspicions.
        budget: what may be spent on the archive. What is beyond it counts as unreadable.
    """
    search = _Search(budget)
    search.look(stream, name, "", DEEPEST)
    return search.found


class _Search:
    """Goes through a file and all files inside it.

    In all methods ``inside`` is the name of a stream in the file that was asked about, empty for that itself, and
    ``depth`` how much deeper files may be nested.
    """

    def __init__(self, budget: Budget) -> None:
        self.found = Contents()
        self._budget = budget

    def look(self, stream: BinaryIO, name: str, inside: str, depth: int) -> None:
        """Look at a stream in each way in which some reader takes it for a container, and as a pickle."""
        with self._noting_failures(inside):
            if depth < 0:
                raise OverBudget("files are nested in it too deeply")
            self._budget.spend(items=_PER_FILE)
            stream.seek(0)
            start = stream.read(tarfile.BLOCKSIZE)
            is_container = self._look_into_containers(stream, start, inside, depth - 1)
            if start.startswith(_MACHINE_CODE):
                self.found.code.add(LIBRARY)
            if start[4:8] == _FLATBUFFER:
                self.found.calls_unknown("a module for phones, which is not looked into")
            if not start.startswith(_NO_PICKLE):
                named = PurePosixPath(name.lower()).suffix in PICKLES and not is_container
                marked = _begins_as_pickle(start) and not _is_storage(inside)
                self._note(pickles_in(stream, self._budget, named=named, marked=marked), inside)

    def _look_into_containers(self, stream: BinaryIO, start: bytes, inside: str, depth: int) -> bool:
        """Whether it is one. It may be several, to readers that look at its start and to those that look at its end."""
        is_container = False
        if _begins_as_tar(start):  # its first bytes are a name, which may begin as anything
            is_container = True
            with self._noting_failures(inside):
                self._look_into_tar(stream, inside, depth)
        if start.startswith(arrays.MAGIC):
            is_container = True
            with self._noting_failures(inside):
                if (rest := arrays.after_the_array(stream, self._budget)) is not None:
                    self.look(rest, ".pkl", _said(inside, "behind the array"), depth)
        if start.startswith(packed_streams.NOT_UNPACKED):
            is_container = True
            self.found.unreadable.add(_said(inside, "compressed in a way that is not looked into"))
        for chunks in packed_streams.unpackings(stream, start):
            is_container = True
            self._look_into_unpacked(chunks, _said(inside, "unpacked"), depth)
        if zipfile.is_zipfile(stream) or start.startswith(ZIP):
            is_container = True
            with self._noting_failures(inside):
                self._look_into_zip(stream, inside, depth)
        return is_container

    @contextmanager
    def _noting_failures(self, inside: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            self.found.unreadable.add(_said(inside, str(error) or type(error).__name__))

    def _note(self, pickles: Pickles, inside: str) -> None:
        self.found.imports |= pickles.imports
        if pickles.unreadable:
            self.found.unreadable.add(_said(inside, "a pickle that cannot be read to its end"))

    def _suspect(self, name: str) -> None:
        if (kind := BY_SUFFIX.get(PurePosixPath(name.lower()).suffix)) is not None:
            self.found.code.add(kind)

    def _look_into_unpacked(self, chunks: Iterator[bytes], inside: str, depth: int) -> None:
        """Look at what a stream unpacks to, as far as it does."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
            with self._noting_failures(inside):
                for data in chunks:
                    self._budget.spend(size=len(data))
                    copy.write(data)
            if copy.tell():
                self.look(copy, "", inside, depth)  # type: ignore[arg-type]

    def _look_into_tar(self, stream: BinaryIO, inside: str, depth: int) -> None:
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as archive:
            for info in archive:
                self._budget.spend(items=_PER_FILE)
                if info.isfile() and (data := archive.extractfile(info)) is not None:
                    self._suspect(info.name)
                    self.look(data, info.name, _member(inside, info.name), depth)  # type: ignore[arg-type]
            end = archive.offset
        stream.seek(end)
        # Other readers go on where this one meets a header that it cannot read.
        if stream.read(len(_END_OF_TAR)) != _END_OF_TAR:
            raise tarfile.ReadError("its files end without the blocks that end a tar file")

    def _look_into_zip(self, stream: BinaryIO, inside: str, depth: int) -> None:
        with zip_files.opened(stream, self._budget) as archive:
            infos = archive.infolist()
            names = {info.orig_filename for info in infos}
            root = infos[0].orig_filename.partition("/")[0] if infos else ""
            # torch.load leaves a file to TorchScript's reader if it finds the constants there; that finds any case.
            to_torch = f"{root}/constants.pkl" in names
            is_torchscript = any(map(torchscript.is_part, names))
            is_program = any(map(exported_programs.is_part, names))
            code: list[tuple[str, bytes]] = []
            for info in infos:
                self._budget.spend(items=_PER_FILE)
                name, lower = info.orig_filename, info.orig_filename.lower()
                here = _member(inside, name)
                if info.is_dir() and not info.file_size:
                    continue
                if lower == f"{root}/model.json".lower():
                    self.found.calls_unknown("a module of PyTorch before 1.2, which is not looked into")
                with self._noting_failures(here), zip_files.member(archive, info, self._budget) as data:
                    if is_torchscript and lower.endswith(".py"):
                        if info.file_size > torchscript.LONGEST_CODE:
                            self.found.calls_unknown(f"{here}, too long to be judged")
                            continue
                        self._budget.spend(size=info.file_size)
                        code.append((here, data.read(info.file_size)))
                    elif lower.endswith(".json"):
                        judged = exported_programs.operators_in(data, self._budget, beside_program=is_program)
                        if judged is not None:
                            self.found.calls(judged)
                    else:
                        self._suspect(name)
                    if is_torchscript and lower.endswith("pkl"):
                        self._look_at_state(data, here, to_torch)
                    else:
                        self.look(data, name, here, depth)
            if is_torchscript:
                self.found.calls(torchscript.operators_in(code, self._budget))

    def _look_at_state(self, data: BinaryIO, here: str, to_torch: bool) -> None:
        """Look at a pickle of TorchScript, whose own reader makes objects of classes in the code only."""
        pickles = pickles_in(data, self._budget, named=True)
        if to_torch:
            own = {name for name in pickles.imports if torchscript.is_own(name)}
            pickles.imports -= own
            self.found.calls(Operators(unknown=torchscript.foreign_classes(own)))
        self._note(pickles, here)
        if here.lower().endswith("bytecode.pkl"):
            operators = Operators()
            operators.add(pickles.operators)
            self.found.calls(operators)


def _member(inside: str, name: str) -> str:
    return f"{inside}!{name}".lstrip("!")


def _said(inside: str, reason: str) -> str:
    return " ".join((f"{inside}: {reason}" if inside else reason).split())


def _begins_as_pickle(start: bytes) -> bool:
    """As one of protocol 2 or later does; older ones have no mark."""
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def _begins_as_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_storage(inside: str) -> bool:
    """Whether it has the name that PyTorch gives to the numbers of a tensor, which may begin in any way."""
    path = PurePosixPath(inside.rpartition("!")[2])
    return path.name.isdecimal() and path.parent.name in ("data", "constants", "tensors")
