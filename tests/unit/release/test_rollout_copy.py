"""A rollout works on bytes that nobody can exchange, alone, and not with other labels than before unless it is told."""

from __future__ import annotations

import importlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.checks.verify.report import Check, Report
from marwright.errors import ArchiveError, ServerError
from marwright.mar.golden import golden_of
from marwright.mar.signing import signature_of
from marwright.mar.training_digests import TrainingDigests
from marwright.release import LiveServer, Outcome, Plan, release, retire, roll_back
from marwright.release.labels import change_of, labels_of
from marwright.release.snapshot import snapshot_of
from marwright.release.store import Store
from marwright.server.versions import Version

LABELS = ("tea", "rice")
# The package has a function of that name.
release_module = importlib.import_module("marwright.release.release")


def archive(file: Path, version: str, labels: tuple[str, ...] = LABELS, code: str = "# good") -> Path:
    with zipfile.ZipFile(file, "w") as opened:
        about = {"model": {"modelName": "goods", "modelVersion": version, "handler": "handler.py"}}
        opened.writestr("MAR-INF/MANIFEST.json", json.dumps(about))
        opened.writestr("handler.py", code)
        opened.writestr("index_to_name.json", json.dumps(dict(enumerate(labels))))
        opened.writestr("golden_requests.json", json.dumps([{"text": "green tea"}]))
    return file


@dataclass
class StandIn:
    """A server's versions, without a server."""

    folder: Path
    registered: dict[str, str] = field(default_factory=dict)
    default_one: str = "1.0"
    code_seen: str = ""
    model: str = "goods"

    def version(self, name: str) -> Version:
        return Version(name, "", 1, ("READY",), 0, 0.1, ())

    def default(self) -> Version:
        return self.version(self.default_one)

    def all(self) -> list[Version]:
        return [self.version(name) for name in {"1.0", self.default_one, *self.registered}]

    def get(self, name: str) -> Version | None:
        return self.version(name) if name in self.registered else None

    def register(self, folder: str) -> None:
        self.registered["2.0"] = folder
        self.code_seen = (self.folder / folder / "handler.py").read_text()

    def make_default(self, name: str) -> None:
        self.default_one = name

    def unregister(self, name: str) -> None:
        del self.registered[name]


@dataclass
class Shop:
    new: Path
    served: LiveServer
    server: StandIn
    verified: list[bytes] = field(default_factory=list)

    def release(self, **plan: Any) -> Outcome:
        return release(self.new, self.served, Plan(canary_s=0, watch_s=0, **plan))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    store = tmp_path / "store"
    store.mkdir()
    archive(store / "goods.mar", "1.0")
    server = StandIn(store)
    monkeypatch.setattr(release_module, "Versions", lambda *_: server)
    monkeypatch.setattr(LiveServer, "require_registering", lambda _: None)
    monkeypatch.setattr(release_module, "start_workers", lambda *_: None)
    monkeypatch.setattr(release_module, "wrong_answers", lambda *_: [])
    monkeypatch.setattr(release_module, "drained", lambda *_, **__: True)
    made = Shop(archive(tmp_path / "next.mar", "2.0"), LiveServer.at("http://127.0.0.1:1", store), server)

    def verify(file: Path, *, public_key: Path | None = None) -> Report:
        made.verified.append(file.read_bytes())
        return Report(file, [Check("unpacks", "passed", "")])

    monkeypatch.setattr("marwright.checks.verify.verify", verify)
    return made


def test_what_was_verified_is_served_and_kept_even_if_the_file_is_exchanged(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = shop.new.read_bytes()
    signature_of(shop.new).write_bytes(b"of the good one")

    def verify_while_somebody_exchanges_it(file: Path, **_: Any) -> Report:
        shop.verified.append(file.read_bytes())
        archive(shop.new, "2.0", code="# evil")
        signature_of(shop.new).write_bytes(b"of the evil one")
        return Report(file, [Check("unpacks", "passed", "")])

    monkeypatch.setattr("marwright.checks.verify.verify", verify_while_somebody_exchanges_it)
    outcome = shop.release()

    store = Store(shop.served.model_store, "goods")
    assert outcome.accepted
    assert shop.verified == [good]
    assert shop.server.code_seen == "# good"
    assert store.in_sight().read_bytes() == good
    assert signature_of(store.in_sight()).read_bytes() == b"of the good one"


@pytest.mark.parametrize("other", [None, "3.0"])
def test_a_store_without_the_served_archive_is_named(shop: Shop, tmp_path: Path, other: str | None) -> None:
    assert shop.release().accepted
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if other is not None:
        archive(elsewhere / "goods.mar", other)

    with pytest.raises(ServerError, match=r"elsewhere does not hold its archive: .*--model-store"):
        release(shop.new, LiveServer.at("http://127.0.0.1:1", elsewhere), Plan(canary_s=0, watch_s=0))

    archive(shop.new, "2.0", code="# another")
    with pytest.raises(ServerError, match=r"made from another archive than .*archive\.version"):
        shop.release()


def test_what_is_exchanged_in_the_store_meanwhile_is_not_what_a_restart_serves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(shop.served.model_store, "goods")
    monkeypatch.setattr(
        release_module, "start_workers", lambda *_: archive(store.archive("2.0"), "2.0", code="# evil") and None
    )
    assert shop.release().accepted
    assert store.in_sight().read_bytes() == shop.new.read_bytes()


def test_a_failed_check_names_the_archive_that_was_given(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "marwright.checks.verify.verify",
        lambda file, **_: Report(file, [Check("hashes", "failed", f"{file}: damaged")]),
    )
    outcome = shop.release()
    assert not outcome.accepted
    assert outcome.reasons == [f"hashes: {shop.new}: damaged"]


@pytest.mark.parametrize("holds", [True, False])
def test_nothing_of_an_archive_is_learnt_before_it_is_verified(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    opened: list[Path] = []
    verified: list[Path] = []

    def verify(file: Path, **_: Any) -> Report:
        verified.append(file)
        return Report(
            file, [Check("signature", "passed", "") if holds else Check("signature", "failed", "somebody else's")]
        )

    def in_archive(file: Path) -> None:
        opened.append(file)
        assert verified

    monkeypatch.setattr("marwright.checks.verify.verify", verify)
    monkeypatch.setattr(TrainingDigests, "in_archive", in_archive)
    assert shop.release().accepted == holds
    assert bool(opened) == holds


def test_an_old_archive_that_is_damaged_is_named(shop: Shop) -> None:
    old = archive(shop.served.model_store / ".goods-1.0.mar", "1.0")
    (shop.served.model_store / "goods.mar").unlink()
    old.write_bytes(old.read_bytes()[:100])

    with pytest.raises(ArchiveError, match=r"\.goods-1\.0\.mar"):
        shop.release()


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 9, "3", '{"a": ' * 50_000])
def test_labels_and_golden_requests_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    file = archive(tmp_path / "a.mar", "1.0")
    with zipfile.ZipFile(file) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, text if name in ("index_to_name.json", "golden_requests.json") else data)

    assert labels_of(file) is None
    assert golden_of(file) == []


def test_errors_about_the_copy_name_the_archive_and_the_copy_goes(tmp_path: Path) -> None:
    origin = archive(tmp_path / "goods.mar", "2.0")
    seen = []

    def fail() -> None:
        with snapshot_of(origin) as copy:
            seen.append(copy.file)
            assert copy.file.parent.stat().st_mode & 0o077 == 0
            raise ArchiveError(f"{copy.file}: damaged")

    with pytest.raises(ArchiveError, match="^" + str(origin)):
        fail()
    assert not seen[0].exists()
    with pytest.raises(ArchiveError, match="no such archive"), snapshot_of(tmp_path / "none.mar"):
        pass


def test_one_at_a_time_changes_what_a_store_serves(shop: Shop) -> None:
    before = {file.name for file in shop.served.model_store.iterdir()}
    with Store(shop.served.model_store, "another model").alone():
        for call in (shop.release, lambda: roll_back("goods", shop.served), lambda: retire("goods", shop.served)):
            with pytest.raises(ServerError, match="Another rollout, rollback or retirement is at work"):
                call()
    assert {file.name for file in shop.served.model_store.iterdir()} == before
    assert shop.release().accepted
    assert ".rollout.lock" not in {file.name for file in shop.served.model_store.iterdir()}


def test_other_labels_are_refused_unless_they_are_allowed(shop: Shop) -> None:
    archive(shop.new, "2.0", ("Tea", "coffee", "maize"))

    refused = shop.release()

    assert not refused.accepted
    assert shop.verified == [], "nothing more was done"
    (reason,) = refused.reasons
    assert "removed: 'rice'" in reason
    assert "added: 'coffee', 'maize'" in reason
    assert "renamed: 'tea' is 'Tea'" in reason
    assert "--allow-label-change" in reason
    assert shop.release(allow_label_change=True).accepted


def test_the_same_labels_in_another_order_are_the_same(shop: Shop) -> None:
    archive(shop.new, "2.0", LABELS[::-1])
    assert shop.release().accepted


NAMES = st.frozensets(st.text(min_size=1, max_size=8), max_size=8)


@given(NAMES, NAMES)
def test_a_change_is_said_if_and_only_if_there_is_one(old: frozenset[str], new: frozenset[str]) -> None:
    said = change_of(old, new)

    assert (said is None) == (old == new)
    differing = old ^ new
    if len(differing) <= 5:
        assert all(repr(label) in (said or "") for label in differing)


def test_a_long_list_of_labels_is_cut() -> None:
    said = change_of([], [f"class {at}" for at in range(100)])
    assert said is not None
    assert said.endswith("and 95 more")
