"""Archives: the same files give the same bytes, a failure keeps what was there, and a bad archive is one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marwright.cli.archives import inspect
from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.reading import describe, unpacked
from marwright.mar.writing import Contents, Manifest, pack

HANDLER = "echo_handler.py"
FILES = {
    layout.CPU_MODULE: b"not really a module" * 50,
    layout.MODEL_CONFIG: "minWorkers: 1\nmaxWorkers: 1\n",
    layout.LABELS: '{"0": "a", "1": "b"}\n',
    HANDLER: "class Handler: ...\n",
}


def contents(*without: str, **more: bytes | str) -> Contents:
    files = Contents()
    for name, data in (FILES | more).items():
        if name not in without:
            files.add(name, data)
    return files


def packed(file: Path, files: Contents | None = None) -> Path:
    pack(files or contents(), file, Manifest(name="goods", version="1.0", handler=HANDLER))
    return file


def packed_elsewhere(folder: Path, *, umask: int = 0o022, backwards: bool = False, **environment: str) -> bytes:
    """Pack from files in ``folder``, in a process of its own, and return the archive's bytes."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name, data in FILES.items():
        file = sources / name
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        file.chmod(0o600 | umask)
        os.utime(file, (1e9 + umask, 1e9 + umask))
    program = (
        "import os, sys; from pathlib import Path; from marwright.mar.writing import Contents, Manifest, pack\n"
        f"os.umask({umask}); files = Contents()\n"
        f"for file in sorted(Path('sources').iterdir(), reverse={backwards}): files.add(file.name, file)\n"
        f"pack(files, Path('goods.mar'), Manifest(name='goods', version='1.0', handler={HANDLER!r}))\n"
    )
    inherited = {key: value for key, value in os.environ.items() if key not in ("TZ", "SOURCE_DATE_EPOCH")}
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=inherited | environment, check=True)
    return (folder / "goods.mar").read_bytes()


@pytest.fixture(autouse=True)
def no_date_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


# --- the same files, the same bytes ------------------------------------------------------------------------------


def test_the_same_files_give_the_same_bytes_wherever_and_however_they_are_packed(tmp_path: Path) -> None:
    here = packed_elsewhere(tmp_path / "a", TZ="UTC", PYTHONHASHSEED="1")
    far = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "2", "LC_ALL": "C"}
    there = packed_elsewhere(tmp_path / "b", umask=0o077, backwards=True, **far)

    assert here == there
    assert here == packed(tmp_path / "goods.mar").read_bytes()


def test_an_archive_can_be_read_by_the_server_whatever_the_umask(tmp_path: Path) -> None:
    packed_elsewhere(tmp_path / "a", umask=0o077)
    file = tmp_path / "a" / "goods.mar"

    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    with zipfile.ZipFile(file) as archive:
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


def test_the_date_can_be_given_as_other_tools_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dates = set()
    for zone in ("UTC", "America/St_Johns"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        with zipfile.ZipFile(packed(tmp_path / "goods.mar")) as archive:
            dates |= {info.date_time for info in archive.infolist()}
            assert json.loads(archive.read(layout.MANIFEST))["createdOn"] == "14/11/2023 22:13:20"
    monkeypatch.undo()
    time.tzset()

    assert dates == {(2023, 11, 14, 22, 13, 20)}


@pytest.mark.parametrize(("date", "shown"), [("0", 1980), ("", 1980), ("4354819198", 2107)])
def test_a_date_before_zip_files_becomes_the_first_they_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str, shown: int
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)

    with zipfile.ZipFile(packed(tmp_path / "goods.mar")) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {shown}


@pytest.mark.parametrize("date", ["yesterday", "-5", "1.5", "4354819200", "9" * 5000])
def test_a_date_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)

    with pytest.raises(ArchiveError, match=f"^SOURCE_DATE_EPOCH={date}: "):
        packed(tmp_path / "goods.mar")
    assert not list(tmp_path.iterdir())


def test_another_byte_anywhere_gives_another_archive(tmp_path: Path) -> None:
    assert packed(tmp_path / "a.mar").read_bytes() != packed(tmp_path / "b.mar", contents(extra="x")).read_bytes()


# --- what is in it -----------------------------------------------------------------------------------------------


def test_every_file_but_the_list_of_hashes_is_in_the_list(tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(tmp_path / "goods.mar")) as archive:
        hashes = json.loads(archive.read(layout.HASHES))
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}

    found.pop(layout.HASHES)
    assert hashes == found
    assert layout.MANIFEST in hashes


def test_the_manifest_says_what_torch_model_archiver_would(tmp_path: Path) -> None:
    sources, store = tmp_path / "sources", tmp_path / "store"
    sources.mkdir()
    store.mkdir()
    for name, data in FILES.items():
        (sources / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    arguments = ["--model-name", "goods", "--version", "1.0", "--serialized-file", layout.CPU_MODULE]
    arguments += ["--handler", HANDLER, "--config-file", layout.MODEL_CONFIG, "--export-path", str(store)]
    program = "from model_archiver.model_packaging import generate_model_archive; generate_model_archive()"
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=sources, check=True, capture_output=True)
    with zipfile.ZipFile(store / "goods.mar") as archive:
        theirs = json.loads(archive.read(layout.MANIFEST))

    ours = json.loads(Manifest(name="goods", version="1.0", handler=HANDLER).as_json())

    theirs.pop("createdOn")
    assert ours.pop("createdOn") == "01/01/1980 00:00:00"
    assert ours == theirs


def test_an_archive_is_unpacked_as_it_was_packed_and_then_removed(tmp_path: Path) -> None:
    file = packed(tmp_path / "goods.mar")

    with unpacked(file) as folder:
        for name, data in FILES.items():
            assert (folder / name).read_bytes() == (data if isinstance(data, bytes) else data.encode())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_an_archive_describes_itself(tmp_path: Path) -> None:
    about = describe(packed(tmp_path / "goods.mar"))

    assert about["manifest"]["model"]["handler"] == HANDLER
    assert about["model_config"] == {"minWorkers": 1, "maxWorkers": 1}
    assert about["labels"] == 2
    assert about["card"] is None
    assert about["files"][layout.CPU_MODULE] == len(FILES[layout.CPU_MODULE])


# --- what cannot be packed ---------------------------------------------------------------------------------------


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    other = tmp_path / HANDLER
    other.write_text("class Other: ...\n", encoding="utf-8")

    with pytest.raises(ArchiveError, match=f"{HANDLER}: the archive already has a file {HANDLER}; rename one"):
        contents().add(other.name, other)


@pytest.mark.parametrize("name", [layout.HASHES, layout.MANIFEST])
def test_a_file_cannot_take_the_place_of_what_packing_adds(name: str) -> None:
    with pytest.raises(ArchiveError, match=name):
        contents().add(name, b"{}")


@pytest.mark.parametrize("name", ["handler.pyc", "a/b.py", "/etc/passwd", "../up.py", "..", ".", "", "a\\b.py"])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError, match="not a name for a file in an archive"):
        contents().add(name, b"")


@pytest.mark.parametrize("name", ["missing.py", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match=f"^{tmp_path / name}: cannot be read: "):
        contents().add("extra.py", tmp_path / name)


@pytest.mark.parametrize("needed", [HANDLER, layout.CPU_MODULE, layout.MODEL_CONFIG])
def test_an_archive_without_what_a_worker_needs_is_refused(tmp_path: Path, needed: str) -> None:
    with pytest.raises(ArchiveError, match=f"the archive would lack {needed}"):
        packed(tmp_path / "goods.mar", contents(needed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("was_there", [True, False])
def test_a_failure_in_the_middle_keeps_the_old_archive_and_leaves_no_part_of_a_new_one(
    tmp_path: Path, was_there: bool
) -> None:
    file = tmp_path / "goods.mar"
    before = packed(file).read_bytes() if was_there else None
    # The process may write 64 kB to a file, the archive needs 200: as on a disk that is full.
    program = (
        "import os, resource; from pathlib import Path; from marwright.mar.writing import Contents, Manifest, pack\n"
        "files = Contents()\n"
        f"for name in {list(FILES)}: files.add(name, os.urandom(50_000))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, 64_000))\n"
        f"pack(files, Path('goods.mar'), Manifest(name='goods', version='1.0', handler={HANDLER!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True)

    assert "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == (["goods.mar"] if was_there else [])
    assert not was_there or file.read_bytes() == before


# --- what cannot be read -----------------------------------------------------------------------------------------

MANIFEST = {"model": {"modelName": "goods", "handler": HANDLER}}


def entry(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def archive_of(file: Path, *entries: tuple[zipfile.ZipInfo, bytes], manifest: object = MANIFEST) -> Path:
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice
        if manifest is not None:
            archive.writestr(entry(layout.MANIFEST), json.dumps(manifest))
        for info, data in entries:
            archive.writestr(info, data)
    return file


def refusal(read: Callable[[Path], object], file: Path) -> str:
    with pytest.raises(ArchiveError) as raised:
        read(file)
    message = str(raised.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


def unpack(file: Path) -> None:
    with unpacked(file):
        pass


both = pytest.mark.parametrize("read", [describe, unpack], ids=["describe", "unpack"])


@both
@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/tmp/evil.py", "..\\evil.py", "a/.."])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, read: Any, name: str) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    message = refusal(read, archive_of(folder / "goods.mar", (entry(name), b"evil")))

    assert message == f"{name!r} would leave the folder it is unpacked to"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["goods.mar"]


@both
def test_a_link_is_refused(tmp_path: Path, read: Any) -> None:
    link = (entry("passwords", stat.S_IFLNK | 0o777), b"/etc/passwd")

    assert "'passwords' would leave the folder" in refusal(read, archive_of(tmp_path / "goods.mar", link))


@both
@pytest.mark.parametrize("names", [("a.py", "a.py"), ("a.py", "./a.py"), ("b/a.py", "b//a.py"), ("a", "a/")])
def test_a_name_that_stands_twice_is_refused(tmp_path: Path, read: Any, names: tuple[str, str]) -> None:
    file = archive_of(tmp_path / "goods.mar", *((entry(name), b"") for name in names))

    assert refusal(read, file) == "a name stands twice in it"


@both
def test_an_archive_without_a_manifest_is_refused(tmp_path: Path, read: Any) -> None:
    file = archive_of(tmp_path / "goods.mar", (entry(HANDLER), b""), manifest=None)

    assert refusal(read, file) == f"it has no {layout.MANIFEST}; TorchServe would refuse it"


@both
@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 no more", b"\x1f\x8b\x08 a tar perhaps"])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, read: Any, data: bytes) -> None:
    file = tmp_path / "goods.mar"
    file.write_bytes(data)

    assert refusal(read, file).startswith("not a .mar archive (a zip file): ")


@both
def test_an_archive_that_is_not_there_is_refused_with_the_cure(tmp_path: Path, read: Any) -> None:
    assert refusal(read, tmp_path / "goods.mar").endswith("Build one with `marwright build`.")
    assert refusal(read, tmp_path).endswith("Build one with `marwright build`.")


@both
def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path, read: Any) -> None:
    file = packed(tmp_path / "goods.mar")
    file.write_bytes(file.read_bytes()[:-100])

    assert refusal(read, file).startswith("not a .mar archive")


@both
def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, read: Any) -> None:
    bombs = [f"bomb {i}" for i in range(3)]
    file = archive_of(tmp_path / "goods.mar", *((entry(name), b"x") for name in bombs))
    data = file.read_bytes()
    for name in bombs:
        # The unpacked size in the directory: 4 bytes, 24 after the start of an entry, whose name stands at 46.
        at = data.rindex(name.encode()) - 46 + 24
        data = data[:at] + struct.pack("<I", 0xFFFFFFF0) + data[at + 4 :]
    file.write_bytes(data)

    assert refusal(read, file) == "it would unpack to more than 8 GiB"


def test_bytes_that_have_changed_are_found(tmp_path: Path) -> None:
    file = packed(tmp_path / "goods.mar")
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(layout.CPU_MODULE)
        at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    whole = file.read_bytes()
    for flip in range(1, 256, 17):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        assert refusal(unpack, file).startswith("damaged: ")


def test_a_file_where_a_folder_should_be_is_found(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "goods.mar", (entry("a"), b"x"), (entry("a/b"), b"y"))

    assert refusal(unpack, file).startswith("damaged: ")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    file = archive_of(tmp_path / "goods.mar", (entry("a.py"), b"secret"))
    data = bytearray(file.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + flags] |= 1
    file.write_bytes(data)

    assert "encrypted" in refusal(unpack, file)


@pytest.mark.parametrize(
    "wrong",
    [[], "x", {}, {"model": []}, {"model": {"modelName": "goods"}}, {"model": {"modelName": 1, "handler": "x"}}],
    ids=str,
)
def test_a_manifest_that_names_no_model_or_handler_is_refused(tmp_path: Path, wrong: object) -> None:
    assert "while reading its description" in refusal(describe, archive_of(tmp_path / "goods.mar", manifest=wrong))


@pytest.mark.parametrize("config", [b"- a list", b"{", b"\xff"])
def test_a_model_configuration_that_is_none_is_refused(tmp_path: Path, config: bytes) -> None:
    about = {"model": MANIFEST["model"] | {"configFile": "config.yaml"}}
    file = archive_of(tmp_path / "goods.mar", (entry("config.yaml"), config), manifest=about)

    assert "while reading its description" in refusal(describe, file)


def test_a_model_configuration_that_is_missing_is_named(tmp_path: Path) -> None:
    about = {"model": MANIFEST["model"] | {"configFile": "config.yaml"}}

    assert "config.yaml" in refusal(describe, archive_of(tmp_path / "goods.mar", manifest=about))


@pytest.mark.parametrize(
    "card",
    [{}, {"data": 3}, *({"data": {"origin": 3}, "teacher": one} for one in ([], {"accuracy": "x"}, {"accuracy": []}))],
)
def test_a_card_that_marwright_never_wrote_is_shown_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], card: dict[str, Any]
) -> None:
    text = json.dumps(card | {"made_by": "marwright 9"}).encode()
    inspect(archive_of(tmp_path / "goods.mar", (entry("card.json"), text)))

    assert "has not what marwright writes there" in capsys.readouterr().out


def test_an_archive_made_by_anybody_else_can_be_described(tmp_path: Path) -> None:
    about = describe(archive_of(tmp_path / "goods.mar", (entry("deep/weights.bin"), b"123")))

    assert about["manifest"] == MANIFEST
    assert (about["model_config"], about["setup"], about["labels"], about["card"]) == (None, None, None, None)
    assert about["files"]["deep/weights.bin"] == 3
