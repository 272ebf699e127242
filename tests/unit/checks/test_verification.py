"""Verifying: an archive that holds, and every way in which one may not."""

from __future__ import annotations

import io
import json
import pickle
import stat
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from command_line import PROJECT, marwright
from daemons import gone
from foreign_archives import GOOD_HANDLER, archived, changed, minimal
from marwright.archive.station import build_archive
from marwright.checks.verify import answering, contract, subject, verify
from marwright.checks.verify.contents import PICKLES
from marwright.checks.verify.report import Outcome, failed, passed
from marwright.checks.verify.subject import Subject
from marwright.config import ArchiveConfig
from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.golden import GoldenRequest
from marwright.mar.signing import new_key, sign, signature_holds, signature_of
from marwright.mar.worker import TIMEOUT_S, ArchiveWorker, running
from marwright.workspace import Run
from verified import CONFIG, check, failures
from waiting import eventually


@pytest.fixture(autouse=True)
def timed_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check but that of the latency depends on how often it asks."""
    monkeypatch.setattr(answering, "TIMED", 2)


@pytest.fixture
def imports_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler of an archive of ours is imported by the worker alone: what a process of its own finds is known."""
    found = {"classes": ["TextClassificationHandler"], "lacks": []}
    monkeypatch.setattr(contract, "_probed", lambda *_: found)


# --- what holds --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_our_own_archive_passes_every_check(tiny_archive: Path) -> None:
    report = verify(tiny_archive)

    assert {check.name: check.state for check in report.checks} == {
        "signature": "skipped",
        "unpacks": "passed",
        "hashes": "passed",
        "manifest": "passed",
        "settings": "passed",
        "no pickles": "passed",
        "TorchScript": "passed",
        "handler imports": "passed",
        "handler contract": "passed",
        "worker": "passed",
        "golden requests": "passed",
        "bad request alone": "passed",
        "latency": "passed",
    }
    assert report.latency_ms.keys() == {1, 16}
    assert 0 < report.latency_ms[1]["p50"] <= report.latency_ms[1]["p99"] < 1000
    kinds = {name: how.partition(":")[0] for name, how in report.could_execute.items()}
    assert {name for name, kind in kinds.items() if kind == "TorchScript"} == {layout.CPU_MODULE, layout.GPU_MODULE}
    assert {name for name, kind in kinds.items() if kind == "Python"} == {
        name for name in zipfile.ZipFile(tiny_archive).namelist() if name.endswith(".py")
    }


@pytest.mark.slow
def test_an_archive_of_torch_model_archiver_holds_and_says_what_was_not_checked(tmp_path: Path) -> None:
    report = verify(archived(tmp_path, GOOD_HANDLER, config=CONFIG))

    assert not failures(report)
    assert check(report, "hashes").state == "skipped"
    assert check(report, "worker").state == "passed"
    assert check(report, "golden requests").state == "skipped"
    assert layout.GOLDEN in check(report, "golden requests").detail


@pytest.mark.slow
@pytest.mark.parametrize(
    "handler",
    [
        "def handle(data, context):\n    return [1 for _ in data or []]\n",
        "from ts.torch_handler.base_handler import BaseHandler\n\n\nclass One(BaseHandler): ...\n",
    ],
    ids=["a function", "a class that inherits all it needs"],
)
def test_every_kind_of_handler_that_torchserve_takes_holds(tmp_path: Path, handler: str) -> None:
    assert not failures(verify(archived(tmp_path, handler, config=CONFIG)))


@pytest.mark.slow
def test_a_handler_that_is_a_package_holds(tmp_path: Path) -> None:
    whole = archived(tmp_path / "a", GOOD_HANDLER, config=CONFIG)
    with zipfile.ZipFile(whole) as own:
        manifest = json.loads(own.read(layout.MANIFEST))
    manifest["model"]["handler"] = "adding"
    changes = {"handler.py": None, "adding/__init__.py": GOOD_HANDLER.encode()}
    file = changed(whole, tmp_path / "b.mar", changes | {layout.MANIFEST: json.dumps(manifest).encode()})

    assert not failures(verify(file))


# --- handlers that TorchServe would not take ---------------------------------------------------------------------

BAD_HANDLERS = {
    "a module that is not there": (
        "import torch\nfrom not_packed.deeper import helper\n" + GOOD_HANDLER,
        "handler imports",
        "handler.py imports not_packed, which is neither in the archive nor installed here",
    ),
    "a name that is not there": (
        "from json import no_such_name\n" + GOOD_HANDLER,
        "handler imports",
        "handler.py:1: ImportError: cannot import name 'no_such_name'",
    ),
    "a syntax error": ("class Broken(:\n", "handler imports", "SyntaxError"),
    "an error while it is imported": (
        "1 / 0\n",
        "handler imports",
        "handler.py:1: ZeroDivisionError: division by zero",
    ),
    "an exit while it is imported": ("import os\nos._exit(3)\n", "handler imports", "the process ended with 3"),
    "an exit as if all were well": ("import os\nos._exit(0)\n", "handler imports", "the process ended with 0"),
    "an error of many lines": (
        "raise ValueError('one\\n✓ worker')\n",
        "handler imports",
        "ValueError: one ✓ worker",
    ),
    "an exit at the start": (
        "import os\n\n\nclass H:\n    def initialize(self, context):\n        os._exit(0)\n"
        "    def handle(self, data, context): ...\n",
        "worker",
        "its worker died",
    ),
    "two classes": (GOOD_HANDLER + "\nclass Other: ...\n", "handler contract", "2 classes (Adder, Other)"),
    "no class": ("import json\n", "handler contract", "0 classes (none)"),
    "no handle": (
        "class H:\n    def initialize(self, context): ...\n",
        "handler contract",
        "class H has no handle",
    ),
    "no initialize": (
        "class H:\n    def handle(self, data, context): ...\n",
        "handler contract",
        "class H has no initialize",
    ),
    "a failure at the start": (
        "class H:\n    def initialize(self, context):\n        raise ValueError('no such GPU')\n"
        "    def handle(self, data, context): ...\n",
        "worker",
        "ValueError: no such GPU",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("handler", "name", "detail"), BAD_HANDLERS.values(), ids=BAD_HANDLERS.keys())
def test_a_handler_that_cannot_serve_is_foretold(tmp_path: Path, handler: str, name: str, detail: str) -> None:
    report = verify(archived(tmp_path, handler, config=CONFIG))

    (failed,) = failures(report).items()
    assert failed[0] == name
    assert detail in failed[1]
    assert check(report, "golden requests").state == "skipped"


@pytest.mark.slow
def test_the_function_that_a_manifest_names_is_the_one_that_is_missed(tmp_path: Path) -> None:
    whole = archived(tmp_path / "a", "def handle(data, context): ...\n")
    with zipfile.ZipFile(whole) as own:
        manifest = json.loads(own.read(layout.MANIFEST))
    manifest["model"]["handler"] = "handler.py:nope"
    report = verify(changed(whole, tmp_path / "b.mar", {layout.MANIFEST: json.dumps(manifest).encode()}))

    assert "0 classes (none) and no function nope" in failures(report)["handler contract"]
    assert "a function nope(data, context)" in check(report, "handler contract").cure


def test_a_handler_that_is_not_in_the_archive_is_named(tmp_path: Path) -> None:
    file = changed(archived(tmp_path / "a", GOOD_HANDLER), tmp_path / "b.mar", {"handler.py": None})

    assert (
        "neither a file in the archive nor a handler of TorchServe's own" in failures(verify(file))["handler imports"]
    )


@pytest.mark.slow
def test_what_a_handler_starts_neither_holds_verify_up_nor_outlives_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    handler = (
        "import subprocess, sys, threading, time\n"
        "print('x' * 3_000_000, flush=True)\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'a').write(f'{{child.pid}}\\n')\n" + GOOD_HANDLER
    )
    begun = time.monotonic()
    assert not failures(verify(archived(tmp_path / "a", handler, config=CONFIG)))

    assert time.monotonic() - begun < TIMEOUT_S
    started = [int(line) for line in pids.read_text().splitlines()]
    assert len(started) == 2, "once to look at it, once to serve"
    eventually(lambda: all(map(gone, started)))


# --- answers ---------------------------------------------------------------------------------------------------------


def with_handler(archive: Path, file: Path, methods: str) -> Path:
    """An archive of ours whose handler behaves in another way."""
    with zipfile.ZipFile(archive) as own:
        source = own.read(layout.HANDLER)
    child = (
        "from own_handler import TextClassificationHandler\n\n\nclass Changed(TextClassificationHandler):\n" + methods
    )
    changes = {layout.HANDLER: child.encode(), "own_handler.py": source, layout.HASHES: None}
    return changed(archive, file, changes)


BAD_METHODS = {
    "the whole batch fails with one": (
        "    def handle(self, data, context):\n"
        "        bodies = super().handle(data, context)\n"
        "        if any(b'BadRequest' in body for body in bodies):\n"
        "            raise ValueError('one of them is bad')\n"
        "        return bodies\n",
        "bad request alone",
        "answered with 503",
    ),
    "neighbours are mixed up": (
        "    def predict(self, examples):\n"
        "        found = super().predict(examples)\n"
        "        return found[::-1] if len(examples) == 15 else found\n",
        "bad request alone",
        "changed what its neighbours got",
    ),
    "probabilities are off": (
        "    def predict(self, examples):\n"
        "        return [{k: v * 0.5 for k, v in answer.items()} for answer in super().predict(examples)]\n",
        "golden requests",
        "not 0.05",
    ),
    "only batches are off": (
        "    def predict(self, examples):\n"
        "        found = super().predict(examples)\n"
        "        return [dict.fromkeys(a, float('nan')) for a in found] if len(found) > 1 else found\n",
        "golden requests",
        "within inf",
    ),
    "its reason phrase is not ASCII": (
        "    def handle(self, data, context):\n"
        "        bodies = super().handle(data, context)\n"
        "        for at in range(len(bodies)):\n"
        "            context.set_response_status(200, 'Geprüft und für gut befunden', at)\n"
        "        return bodies\n",
        "golden requests",
        "TorchServe cannot read what its worker sends. A reason phrase that is not ASCII",
    ),
    "it dies": (
        "    def handle(self, data, context):\n        import os\n        os._exit(1)\n",
        "golden requests",
        "its worker died",
    ),
}


@pytest.mark.slow
@pytest.mark.usefixtures("imports_unasked")
@pytest.mark.parametrize(("methods", "name", "detail"), BAD_METHODS.values(), ids=BAD_METHODS.keys())
def test_wrong_answers_are_found(tiny_archive: Path, tmp_path: Path, methods: str, name: str, detail: str) -> None:
    report = verify(with_handler(tiny_archive, tmp_path / "goods.mar", methods))

    found = failures(report)
    assert detail in found[name], found


@pytest.mark.parametrize(
    ("answer", "off"),
    [({"tea": 0.9}, 0.07), ({"rice": 0.95}, 0.92), ({}, 0.97), ({"tea": 0.97, "rice": 0.02}, 0.0)],
    ids=str,
)
def test_another_label_is_not_taken_for_the_recorded_one(answer: dict[str, float], off: float) -> None:
    assert GoldenRequest("", [{"label": "tea", "probability": 0.97}]).off(answer) == pytest.approx(off)


def test_either_of_two_labels_that_are_as_likely_may_be_the_last() -> None:
    assert GoldenRequest("", [{"label": "tea", "probability": 0.501}]).off({"rice": 0.5}) == pytest.approx(0.001)


@pytest.mark.slow
def test_a_handler_that_gives_no_labels_has_a_sentence(tmp_path: Path) -> None:
    handler = "def handle(data, context):\n    return ['tea' for _ in data or []]\n"
    with (
        running(archived(tmp_path, handler, config=CONFIG)) as worker,
        pytest.raises(ArchiveError, match=r"adder\.mar: its handler answers b'tea', which is not a probability"),
    ):
        worker.classify(["of"])


@pytest.mark.slow
@pytest.mark.usefixtures("imports_unasked")
def test_another_answer_on_record_is_found(tiny_archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as archive:
        golden = json.loads(archive.read(layout.GOLDEN))
    golden[5]["answer"][0]["probability"] -= 0.1
    changes = {layout.GOLDEN: json.dumps(golden).encode(), layout.HASHES: None}

    assert failures(verify(changed(tiny_archive, tmp_path / "goods.mar", changes))).keys() == {
        "golden requests",
        "bad request alone",
    }


@pytest.fixture(scope="module")
def own_worker(tiny_archive: Path) -> Iterator[ArchiveWorker]:
    with running(tiny_archive) as worker:
        yield worker


@pytest.mark.slow
@pytest.mark.usefixtures("imports_unasked")
@pytest.mark.parametrize("golden", [b"{", b'{"text": 1}', b'[{"text": "a", "answer": [3]}]'])
def test_golden_requests_of_another_kind_are_left_alone(
    tiny_archive: Path, tmp_path: Path, golden: bytes, own_worker: ArchiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "started", lambda *_: nullcontext(own_worker))
    file = changed(tiny_archive, tmp_path / "goods.mar", {layout.GOLDEN: golden, layout.HASHES: None})
    report = verify(file)

    assert not failures(report)
    assert check(report, "golden requests").state == "skipped"


@pytest.mark.slow
@pytest.mark.usefixtures("imports_unasked")
def test_an_archive_with_a_handler_of_its_own_is_timed_with_its_texts(tiny_archive: Path, tmp_path: Path) -> None:
    own = tmp_path / "own_handler.py"
    own.write_bytes((PROJECT / "handlers" / layout.HANDLER).read_bytes())
    file = tmp_path / "own.mar"
    build_archive(ArchiveConfig(handler=own), Run(tiny_archive.parent / "run"), name="own", file=file)
    report = verify(file)

    assert not failures(report)
    assert check(report, "golden requests").state == "skipped"
    assert "handler of its own" in check(report, "golden requests").detail
    assert check(report, "latency").state == "passed"


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_changed_missing_and_added_files_are_named(tiny_archive: Path, tmp_path: Path) -> None:
    changes: dict[str, bytes | None] = {layout.TOKENIZER: b"{}", layout.CARD: None, "extra.txt": b"x"}
    report = verify(changed(tiny_archive, tmp_path / "goods.mar", changes), run=False)

    assert failures(report)["hashes"] == (
        f"{layout.TOKENIZER} has changed; {layout.CARD} is missing; extra.txt was added"
    )


@pytest.mark.parametrize("hashes", [b"[]", b'[[1, 2], ["a", 3]]', b"{", b"7"])
def test_a_list_of_hashes_that_is_none_fails(tiny_archive: Path, tmp_path: Path, hashes: bytes) -> None:
    report = verify(changed(tiny_archive, tmp_path / "goods.mar", {layout.HASHES: hashes}), run=False)

    assert failures(report).keys() == {"hashes"}


def entry(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


HOSTILE = {
    "a way out": ([(entry("../evil.py"), b"")], "would leave the folder"),
    "an absolute path": ([(entry("/tmp/evil.py"), b"")], "would leave the folder"),
    "a link": ([(entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd")], "would leave the folder"),
    "a name twice": ([(entry("a.py"), b""), (entry("a.py"), b"")], "a name stands twice"),
}


@pytest.mark.parametrize(("entries", "detail"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_not_unpacked(tmp_path: Path, entries: list[Any], detail: str) -> None:
    file = tmp_path / "goods.mar"
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice
        archive.writestr(layout.MANIFEST, json.dumps({"model": {"modelName": "a", "handler": "a.py"}}))
        for info, data in entries:
            archive.writestr(info, data)
    report = verify(file)

    assert failures(report).keys() == {"unpacks"}
    assert detail in check(report, "unpacks").detail
    assert not any(check.name == "worker" for check in report.checks)


def test_a_small_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "goods.mar"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(layout.MANIFEST, json.dumps({"model": {"modelName": "a", "handler": "a.py"}}))
        with archive.open("bomb", "w") as bomb:
            for _ in range(110):
                bomb.write(bytes(1 << 20))

    assert file.stat().st_size < 1 << 20
    assert "more than 100 times its size" in failures(verify(file))["unpacks"]


@pytest.mark.parametrize(
    ("manifest", "detail"),
    [
        ({"model": {"modelName": "a", "handler": "handler.py"}}, "does not say modelVersion"),
        (
            {"runtime": "ruby", "model": {"modelName": "a", "modelVersion": "1", "handler": "handler.py"}},
            "no runtime 'ruby'",
        ),
        (
            {"model": {"modelName": "a", "modelVersion": "1", "handler": "h.py", "serializedFile": "gone.pt"}},
            "serializedFile 'gone.pt'",
        ),
        (
            {"model": {"modelName": "a", "modelVersion": "1", "handler": "h.py", "modelFile": "../../etc/passwd"}},
            "modelFile '../../etc/passwd'",
        ),
        ({"model": {"modelName": "a", "modelVersion": "1", "handler": "a\0b"}}, "does not say handler"),
        ({"model": {"modelName": "\ud800", "modelVersion": "1", "handler": "a"}}, "does not say modelName"),
        ([], "describes no model"),
        *[
            ({"model": {"modelName": name, "modelVersion": "1", "handler": "h.py"}}, f"ask for modelName {name!r}")
            for name in ("a/b", "a:b", "a?b", "..")
        ],
    ],
)
def test_a_manifest_that_torchserve_would_refuse_is_found(tmp_path: Path, manifest: object, detail: str) -> None:
    own = archived(tmp_path / "a", GOOD_HANDLER)
    report = verify(changed(own, tmp_path / "b.mar", {layout.MANIFEST: json.dumps(manifest).encode()}))

    assert detail in failures(report)["manifest"]
    assert check(report, "worker").state == "skipped"


def test_settings_that_torchserve_would_drop_are_found(tmp_path: Path) -> None:
    report = verify(archived(tmp_path, GOOD_HANDLER, config=CONFIG + "batch_size: 8\n"), run=False)

    assert failures(report).keys() == {"settings"}
    assert check(report, "settings").cure == "you probably mean batchSize"


# --- what could execute code -----------------------------------------------------------------------------------------


def test_foreign_code_is_listed_by_kind(tmp_path: Path) -> None:
    extra = {"old.pyc": b"x", "fast.so": b"x", "requirements.txt": b"nothing\n", "weights.bin": b"\x00" * 40}
    report = verify(archived(tmp_path, GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    assert not failures(report)
    kinds = {name: how.partition(":")[0] for name, how in report.could_execute.items()}
    assert kinds == {
        "adder.pt": "TorchScript",
        "fast.so": "machine code",
        "handler.py": "Python",
        "old.pyc": "compiled Python",
        "requirements.txt": "packages",
    }


def test_a_pickle_that_could_run_anything_fails(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return eval, ("1",)

    extra = {f"model{protocol}.pkl": pickle.dumps([Runs()], protocol) for protocol in range(6)}
    # A pickle runs up to the place where it is broken, it may have any name, and a zip file may follow it.
    extra |= {"cut.pkl": extra["model0.pkl"][:-1], "notes.md": extra["model4.pkl"]}
    archived(tmp_path / "inner", GOOD_HANDLER)
    extra["both.bin"] = extra["model2.pkl"] + (tmp_path / "inner" / "adder.pt").read_bytes()
    report = verify(archived(tmp_path, GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    assert failures(report).keys() == {"no pickles"}
    for name in extra:
        assert f"{name} imports " in check(report, "no pickles").detail
        assert "builtins.eval" in report.could_execute[name] or "__builtin__.eval" in report.could_execute[name]


def test_a_pickle_cannot_hide_what_it_imports(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    real = text("posix") + text("system")
    shown = text("collections") + text("OrderedDict")
    hidden = {
        "popped": b"\x80\x04" + real + shown + b"00" + b"\x93.",
        "remembered": b"\x80\x04" + text("posix") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93.",
        "put together": b"\x80\x04" + text("posix") + text("system") + b"\x85\x85\x93.",
        "unmarked.pkl": real + shown + b"00" + b"\x93.",
    }
    extra = {name.replace(" ", "_"): data for name, data in hidden.items()}
    report = verify(archived(tmp_path, GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    assert failures(report).keys() == {"no pickles"}
    assert extra.keys() <= report.could_execute.keys()


def test_an_empty_file_of_any_name_holds_nothing(tmp_path: Path) -> None:
    suffixes = (*PICKLES, ".npy", ".npz", ".zip", ".onnx", ".pt2", ".safetensors", ".json")
    names = [f"model{suffix}" for suffix in suffixes]
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("inner/model.pkl", b"")
    report = verify(minimal(tmp_path / "a.mar", dict.fromkeys(names, b"") | {"more.zip": inside.getvalue()}), run=False)

    assert "no pickles" not in failures(report)
    assert not any("could not be read" in how for how in report.could_execute.values())


def test_a_zip_file_cannot_hide_a_pickle(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return eval, ("1",)

    def of(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return stream.getvalue()

    evil = pickle.dumps(Runs(), 2)
    broken = bytearray(of({"archive/data.pkl": b"\x80\x02N." * 50}, zipfile.ZIP_DEFLATED))
    broken[45:50] = b"\xff" * 5
    bomb = of({"archive/data.pkl": bytes(300 << 20)}, zipfile.ZIP_DEFLATED)
    extra = {
        # To PyTorch only the constants in the folder of the first file make it TorchScript.
        "elsewhere.pt": of({"archive/data.pkl": evil, "other/constants.pkl": b"N."}),
        "deeper.pt": of({"archive/data.pkl": evil, "archive/deeper/constants.pkl": b"N."}),
        "both.pt": of({"archive/data.pkl": evil, "archive/constants.pkl": b"N."}),
        "broken.pt": bytes(broken),
        "bomb.pt": bomb,
        # Readable to unpicklers that are told another encoding, and compressed as joblib does it.
        "accent.pkl": b"S'\xc3\xa9'\n0cposix\nsystem\n.",
        "compressed.joblib": zlib.compress(evil),
    }
    report = verify(archived(tmp_path, GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    assert failures(report).keys() == {"no pickles"}
    for name in extra:
        assert f"{name} " in check(report, "no pickles").detail
        assert "imports" in report.could_execute[name] or "could not be read" in report.could_execute[name]


def test_code_of_any_name_is_listed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("helper.py", "print(1)")
        archive.writestr("fast.so", b"x")
    extra = {"deps.zip": stream.getvalue(), "libfast.so.1": b"\x7fELF" + b"\0" * 60, "deps.in": b"requests\n"}
    whole = archived(tmp_path, GOOD_HANDLER, extra=extra, config=CONFIG)
    with zipfile.ZipFile(whole) as own:
        manifest = json.loads(own.read(layout.MANIFEST))
    manifest["model"]["requirementsFile"] = "deps.in"
    file = changed(whole, tmp_path / "b.mar", {layout.MANIFEST: json.dumps(manifest).encode()})
    report = verify(file, run=False)

    assert not failures(report)
    assert "holds Python" in report.could_execute["deps.zip"]
    assert "holds machine code" in report.could_execute["deps.zip"]
    assert "machine code" in report.could_execute["libfast.so.1"]
    assert report.could_execute["deps.in"].startswith("packages")


def test_saved_tensors_are_told_apart_from_saved_objects(tmp_path: Path) -> None:
    import torch

    layer = torch.nn.Linear(2, 2)
    kinds = {
        "state.pth": (layer.state_dict(), {}),
        "old_state.pth": (layer.state_dict(), {"_use_new_zipfile_serialization": False}),
        "mixed.bin": ({"half": torch.ones(2).half(), "ids": torch.ones(2, dtype=torch.int8), "p": layer.weight}, {}),
        "whole.pth": (layer, {}),
        "old_whole.pth": (layer, {"_use_new_zipfile_serialization": False}),
    }
    extra = {}
    for name, (value, options) in kinds.items():
        torch.save(value, tmp_path / name, **options)  # type: ignore[arg-type]
        extra[name] = (tmp_path / name).read_bytes()
    report = verify(archived(tmp_path / "a", GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    pickles = {name: how for name, how in report.could_execute.items() if name.endswith(("pth", "bin"))}
    assert pickles.keys() == {"whole.pth", "old_whole.pth"}
    assert "torch.nn.modules.linear.Linear" in pickles["whole.pth"]


def test_torchscript_that_writes_files_is_named(tmp_path: Path) -> None:
    import torch

    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.save(x, "/tmp/x")
            return x

    torch.jit.script(Writes()).save(str(tmp_path / "writes.pt"))
    # TorchScript's own parser allows blanks, and lines that go on, inside a name.
    with zipfile.ZipFile(tmp_path / "writes.pt") as old, zipfile.ZipFile(tmp_path / "spaced.pt", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"torch.save(", b"torch . \\\n  save (") if name.endswith("py") else data)
    extra = {name: (tmp_path / name).read_bytes() for name in ("writes.pt", "spaced.pt")}
    report = verify(archived(tmp_path / "a", GOOD_HANDLER, extra=extra, config=CONFIG), run=False)

    assert failures(report).keys() == {"TorchScript"}
    for name in extra:
        assert "calls torch.save" in report.could_execute[name]
    assert "each known to open no file" in report.could_execute["adder.pt"]


# --- signatures, and not running -------------------------------------------------------------------------------------


@pytest.fixture
def leaves_a_trace(tmp_path: Path) -> tuple[Path, Path]:
    """An archive whose handler writes a file when it is imported, and that file."""
    trace = tmp_path / "trace"
    handler = f"from pathlib import Path\nPath({str(trace)!r}).touch()\n" + GOOD_HANDLER
    return archived(tmp_path / "a", handler, config=CONFIG), trace


@pytest.mark.slow
def test_nothing_of_an_archive_is_run_unless_its_signature_is_right(
    leaves_a_trace: tuple[Path, Path], tmp_path: Path
) -> None:
    file, trace = leaves_a_trace
    key, other = tmp_path / "release.key", tmp_path / "other.key"
    public, others = new_key(key), new_key(other)

    assert failures(verify(file, public_key=public)).keys() == {"signature"}
    sign(file, key)
    assert failures(verify(file, public_key=others)).keys() == {"signature"}
    whole = file.read_bytes()
    # After the end of a zip file, where only the signature notices it.
    file.write_bytes(whole + b"\0")
    assert failures(verify(file, public_key=public)).keys() == {"signature"}
    assert not trace.exists()

    file.write_bytes(whole)
    report = verify(file, public_key=public)
    assert not failures(report)
    assert check(report, "signature").state == "passed"
    assert trace.exists()


@pytest.mark.slow
def test_what_is_run_is_what_was_signed(
    leaves_a_trace: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil, trace = leaves_a_trace
    file, public = archived(tmp_path / "b", GOOD_HANDLER, config=CONFIG), new_key(tmp_path / "release.key")
    sign(file, tmp_path / "release.key")

    def and_then_it_is_replaced(*arguments: Any) -> bool:
        holds = signature_holds(*arguments)
        evil.replace(file)
        return holds

    # The package has a function of the same name as this module.
    module = import_module("marwright.checks.verify.verify")
    monkeypatch.setattr(module, "signature_holds", and_then_it_is_replaced)
    report = verify(file, public_key=public)

    assert not failures(report)
    assert check(report, "worker").state == "passed"
    assert not trace.exists()


def test_a_new_check_is_a_function_and_a_line(
    leaves_a_trace: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_a_readme(subject: Subject) -> Outcome:
        return passed("there") if "README.md" in subject.files else failed("there is none", "Write one.")

    def asks_the_worker(subject: Subject) -> Outcome:
        return passed(str(subject.worker))

    module = import_module("marwright.checks.verify.verify")
    monkeypatch.setattr(module, "LOOKING", module.LOOKING | {"readme": has_a_readme})
    monkeypatch.setattr(module, "RUNNING", {"asked": asks_the_worker})
    file, trace = leaves_a_trace
    report = verify(file)

    assert failures(report) == {"readme": "there is none"}
    assert check(report, "asked").detail == "nothing of it is run, since this failed: readme; --run-anyway runs it"
    assert not trace.exists()
    assert check(verify(file, run_anyway=True), "asked").detail == "no handler"


def test_with_no_run_nothing_of_it_is_run(leaves_a_trace: tuple[Path, Path]) -> None:
    file, trace = leaves_a_trace
    report = verify(file, run=False)

    assert report.holds
    assert not trace.exists()
    assert check(report, "worker").detail == "--no-run: nothing of it is run"


# --- the verb ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_verb_prints_a_line_per_check_and_exits_by_what_it_found(tiny_archive: Path, tmp_path: Path) -> None:
    good = marwright("verify", tiny_archive)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "✓ golden requests" in good.stdout
    assert "– signature" in good.stdout
    assert "all that was checked holds" in good.stderr

    bad = changed(tiny_archive, tmp_path / "bad.mar", {layout.TOKENIZER: b"{}"})
    shown = marwright("verify", bad, "--no-run")
    assert shown.returncode == 1
    assert "✗ hashes" in shown.stdout
    as_json = json.loads(marwright("verify", bad, "--no-run", "--json").stdout)
    assert as_json["holds"] is False
    assert {check["name"] for check in as_json["checks"] if check["state"] == "failed"} == {"hashes"}

    missing = marwright("verify", tmp_path / "missing.mar")
    assert missing.returncode == 2
    assert "no such archive" in missing.stderr


def test_an_archive_cannot_write_its_own_checklist(tiny_archive: Path, tmp_path: Path) -> None:
    bad = changed(tiny_archive, tmp_path / "bad.mar", {"\x1b[2Jall is well.py": b"", layout.HASHES: None})

    for verb in (("verify", "--no-run"), ("inspect",)):
        done = marwright(*verb, bad)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\\x1b[2Jall is well.py" in done.stdout


def test_a_key_that_is_not_there_is_bad_input(tiny_archive: Path, tmp_path: Path) -> None:
    signature_of(tmp_path / "a.mar").write_bytes(b"")
    (tmp_path / "a.mar").write_bytes(tiny_archive.read_bytes())

    assert marwright("verify", tmp_path / "a.mar", "--public-key", tmp_path / "missing.pub").returncode == 2
    with pytest.raises(ArchiveError, match="no such archive"):
        verify(tmp_path)
