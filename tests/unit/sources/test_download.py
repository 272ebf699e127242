"""Downloads: resumed, checked, never half in place."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from marwright.errors import DataError
from marwright.sources import download as module
from marwright.sources.download import download
from range_server import RangeServer, serving

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MANY_CUTS = [100_000] + [0] * 10


@pytest.fixture(autouse=True)
def _no_pauses_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with serving(CONTENT) as running:
        yield running


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def interrupted(server: RangeServer, folder: Path) -> None:
    """Leave the first 100,000 bytes behind, as a broken connection does."""
    server.cuts = list(MANY_CUTS)
    with pytest.raises(DataError, match="100,000 bytes received"):
        download(server.url(), folder)
    server.cuts, server.served = [], []


def test_a_file_arrives_whole_and_alone(server: RangeServer, tmp_path: Path) -> None:
    file = download(server.url(), tmp_path / "new" / "folder", size=SIZE, sha256=SHA256)

    assert file == tmp_path / "new" / "folder" / "abo-listings.tar"
    assert file.read_bytes() == CONTENT
    assert names(file.parent) == ["abo-listings.tar"]


def test_a_file_already_there_is_not_asked_for_again(server: RangeServer, tmp_path: Path) -> None:
    download(server.url(), tmp_path, size=SIZE, sha256=SHA256)
    server.served.clear()

    assert download(server.url(), tmp_path, size=SIZE, sha256=SHA256).read_bytes() == CONTENT
    assert server.served == []


def test_broken_connections_are_resumed_where_they_broke(server: RangeServer, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000, 1, 1, 1, 1, 1]  # more than may fail without bringing the file forward

    assert download(server.url(), tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.served == [
        (200, 0, 100_000),
        (206, 100_000, 50_000),
        *((206, 150_000 + n, 1) for n in range(5)),
        (206, 150_005, SIZE - 150_005),
    ]


def test_a_later_run_resumes_what_an_earlier_one_left(server: RangeServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path)
    assert names(tmp_path) == ["abo-listings.tar.partial", "abo-listings.tar.partial.json"]

    assert download(server.url(), tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.served == [(206, 100_000, SIZE - 100_000)]
    assert names(tmp_path) == ["abo-listings.tar"]


@pytest.mark.parametrize("last_modified", ["Wed, 21 Oct 2015 07:28:00 GMT", None])
def test_a_server_without_a_strong_etag_is_resumed_too(
    server: RangeServer, tmp_path: Path, last_modified: str | None
) -> None:
    server.etag, server.last_modified = 'W/"weak"', last_modified
    interrupted(server, tmp_path)

    assert download(server.url(), tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.served == [(206, 100_000, SIZE - 100_000)]


def test_a_server_that_ignores_ranges_sends_the_file_from_its_start(server: RangeServer, tmp_path: Path) -> None:
    server.ignores_range = True
    server.cuts = [100_000]

    assert download(server.url(), tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.served == [(200, 0, 100_000), (200, 0, SIZE)]


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server: RangeServer, tmp_path: Path) -> None:
    server.ignores_range = True
    server.cuts = [100_000] * 20

    with pytest.raises(DataError, match=r"failed 4 times.*100,000 of 300,000 bytes.*Run the same command again"):
        download(server.url(), tmp_path)
    assert len(server.served) == 4


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_file_that_changed_meanwhile_is_started_over(
    server: RangeServer, tmp_path: Path, ignores_if_range: bool
) -> None:
    interrupted(server, tmp_path)
    server.content, server.etag, server.ignores_if_range = OTHER, '"two"', ignores_if_range

    assert download(server.url(), tmp_path).read_bytes() == OTHER
    assert server.served[-1] == (200, 0, SIZE)


def test_a_file_that_became_shorter_is_started_over(server: RangeServer, tmp_path: Path) -> None:
    server.etag = None
    interrupted(server, tmp_path)
    server.content = OTHER[:40_000]

    assert download(server.url(), tmp_path).read_bytes() == OTHER[:40_000]
    assert [status for status, *_ in server.served] == [416, 200]


def test_another_url_does_not_continue_this_download(server: RangeServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path)

    download(server.url().replace("/archives/", "/elsewhere/"), tmp_path)
    assert server.served == [(200, 0, SIZE)]


def test_an_overloaded_server_is_asked_again(server: RangeServer, tmp_path: Path) -> None:
    server.failures = [503, 429]

    assert download(server.url(), tmp_path).read_bytes() == CONTENT


def test_a_refusal_is_final_and_keeps_secrets(server: RangeServer, tmp_path: Path) -> None:
    server.failures = [403]

    with pytest.raises(DataError) as raised:
        download(server.url() + "?signature=secret", tmp_path)
    assert "/archives/abo-listings.tar: the server answered 403" in str(raised.value)
    assert "data.source.location" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(server.served) == 1


def test_a_wrong_hash_names_both_and_leaves_nothing(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        download(server.url(), tmp_path, sha256="0" * 64)
    assert SHA256 in str(raised.value)
    assert "0" * 64 in str(raised.value)
    assert "try again" in str(raised.value)
    assert names(tmp_path) == []


def test_a_wrong_size_is_noticed_before_the_file_is_sent(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"size is 300000, expected 5;.*correct data\.source\.size"):
        download(server.url(), tmp_path, size=5)
    assert names(tmp_path) == []


def test_a_different_file_of_that_name_is_not_deleted(server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / "abo-listings.tar").write_bytes(OTHER)

    with pytest.raises(DataError, match="delete the file to download it again"):
        download(server.url(), tmp_path, sha256=SHA256)
    assert (tmp_path / "abo-listings.tar").read_bytes() == OTHER
    assert server.served == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        url = server.url()
    with pytest.raises(DataError, match=r"cannot be reached.*refused"):
        download(url, tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://127.0.0.1/archives/.."])
def test_a_url_without_a_file_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not end in a file name"):
        download(url, tmp_path)


def test_a_folder_that_cannot_be_made(server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(DataError, match=r"taken.*cannot be written"):
        download(server.url(), tmp_path / "taken" / "folder")
