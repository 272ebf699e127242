"""A loaded archive answers what TorchServe's worker answers, in a process that it shares with others."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import marwright
from command_line import PROJECT
from foreign_archives import GOOD_HANDLER, archived, changed
from in_process_worker import Asked, InProcessWorker, form, http, in_process_worker
from marwright.errors import ArchiveError, RequestError
from marwright.mar import layout
from marwright.mar.protocol import Body
from marwright.mar.worker import running
from marwright.model import Answer, Model, Request

TEXTS = ["of the tea", "tea", "and of the and of the", "the of"]
CHILD = "from own_handler import TextClassificationHandler\n\n\nclass Changed(TextClassificationHandler):\n"


@pytest.fixture(scope="module")
def worker(tiny_archive: Path) -> Iterator[InProcessWorker]:
    with in_process_worker(tiny_archive) as own:
        yield own


@pytest.fixture(scope="module")
def model(tiny_archive: Path) -> Iterator[Model]:
    with marwright.load(tiny_archive) as own:
        yield own


def child(archive: Path, file: Path, methods: str) -> Path:
    """The same archive, whose handler is a child of its own one."""
    with zipfile.ZipFile(archive) as own:
        source = own.read(layout.HANDLER)
    return changed(archive, file, {layout.HANDLER: (CHILD + methods).encode(), "own_handler.py": source})


def read(archive: Path, name: str) -> Any:
    with zipfile.ZipFile(archive) as opened:
        return json.loads(opened.read(name))


def by_torchserve(worker: InProcessWorker, *asked: Asked) -> list[Answer]:
    """What the worker answers; TorchServe repeats the content type among the headers."""
    answers = worker.answer(*asked)
    for answer in answers:
        del answer.headers["content-type"]
    return answers


# --- as TorchServe answers ---------------------------------------------------------------------------------------


def test_golden_requests_are_answered_to_the_byte(model: Model, worker: InProcessWorker, tiny_archive: Path) -> None:
    bodies = [json.dumps({"text": one["text"]}).encode() for one in read(tiny_archive, layout.GOLDEN)]
    together = json.dumps({"instances": [json.loads(body) for body in bodies], "top_k": 3}).encode()

    for batch in ([body] for body in (*bodies, together)):
        assert model.answer(batch) == by_torchserve(worker, *(http(body, "") for body in batch))
    assert model.answer(bodies) == by_torchserve(worker, *(http(body, "") for body in bodies))


BODIES = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(str.encode),
    st.sampled_from(
        [
            b'{"text": "of the tea", "top_k": 2, "request_id": "mine"}',
            b'{"text": 5, "request_id": "mine"}',
            b'{"instances": ["tea", {"text": "of", "top_k": 1}], "parameters": {"top_k": 3}}',
            b'{"instances": ["tea", 3]}',
            b'{"text": "tea", "min_confidence": 1}',
            b"[1]",
            b'"tea"',
            b"null",
            b'{"text": NaN}',
            "Käse of the tea".encode("utf-16"),
        ]
    ),
)
TYPES = st.sampled_from(
    [
        "",
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/plain",
        "text/plain; charset=utf-16",
        "x;charset=",
    ]
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=st.lists(
        st.tuples(BODIES, TYPES) | st.dictionaries(st.sampled_from(["data", "top_k", "text"]), BODIES, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_is_asked_gets_the_bytes_the_status_and_the_headers_of_torchserve(
    model: Model, worker: InProcessWorker, asked: list[tuple[bytes, str] | dict[str, bytes]]
) -> None:
    ours = [Request(fields=one) if isinstance(one, dict) else Request(*one) for one in asked]
    theirs = [form(**one) if isinstance(one, dict) else http(*one) for one in asked]

    assert model.answer(ours) == by_torchserve(worker, *theirs)


def test_texts_and_instances_become_labels(model: Model) -> None:
    alone = [model(text) for text in TEXTS]

    assert [list(one) for one in model(TEXTS)] == [list(one) for one in alone]
    assert len(alone[0]) == 5
    assert list(model("of the tea", top_k=2)) == list(alone[0])[:2]
    assert model({"text": "of the tea"}) == alone[0]
    assert [len(one) for one in model([{"text": "of the tea", "top_k": 1}, "tea"], top_k=3)] == [1, 3]
    assert model("tea", min_confidence=1)["label"] is None


def test_more_texts_than_a_batch_keep_their_places(tiny_archive: Path) -> None:
    with marwright.load(tiny_archive, batch_size=2) as model:
        texts = ["tea " * (1 + at * 7 % 9) for at in range(9)]
        for text, found in zip(texts, model(texts), strict=True):
            assert found == pytest.approx(model(text), abs=1e-3)


def test_a_text_that_cannot_be_answered_is_named(model: Model) -> None:
    with pytest.raises(RequestError, match=r"goods\.mar: text 1 of 2: text is empty"):
        model(["tea", " "])
    with pytest.raises(RequestError, match=r"goods\.mar: top_k must be a whole number from 1 to 5"):
        model("tea", top_k=9)
    assert model([]) == []


def test_each_text_has_its_answer_or_its_error(model: Model) -> None:
    texts: list[Any] = ["tea", None, " ", 5, {"text": "the tea"}, "of"]
    found = model.each(texts, top_k=2)
    assert [str(one) for one in found if isinstance(one, RequestError)] == [
        "text must be a string",
        "text is empty",
        "text must be a string",
    ]
    good = [0, 4, 5]
    assert [found[at] for at in good] == model([texts[at] for at in good], top_k=2)
    file = PROJECT / "tests" / "samples" / "release-0.1.mar"
    with marwright.load(file) as old:
        assert [isinstance(one, RequestError) for one in old.each(["tea", None, "of"])] == [False, True, False]


def private_modules() -> set[str]:
    """Those of archives that are loaded now."""
    return {name for name in sys.modules if name.startswith("_marwright_archive")}


# --- in a process of others --------------------------------------------------------------------------------------


def test_two_archives_with_modules_of_the_same_names_do_not_disturb_each_other(
    tiny_archive: Path, tmp_path: Path
) -> None:
    labels = [f"other {at}" for at in range(5)]
    files = {layout.LABELS: json.dumps(dict(enumerate(labels))).encode()}
    other = child(
        changed(tiny_archive, tmp_path / "renamed.mar", files),
        tmp_path / "other.mar",
        "    def predict(self, examples):\n"
        "        from text_fields import join_fields  # looked for when it is run\n"
        "        return [{join_fields(['a', 'b'], '+'): list(one)} for one in super().predict(examples)]\n",
    )
    known, imported = private_modules(), sys.modules.keys() | set()
    before = list(sys.path), dict(os.environ), torch.get_num_threads()
    with marwright.load(tiny_archive) as first, marwright.load(other) as second:
        names = list(first("tea"))
        found = [(first(text), second(text)) for text in TEXTS]
    gc.collect()

    assert not private_modules() - known
    assert not {"model_core", "resilient_handler", "text_fields"} & sys.modules.keys() - imported
    assert (list(sys.path), dict(os.environ), torch.get_num_threads()) == before
    assert sorted(names) == sorted(read(tiny_archive, layout.LABELS).values())
    for one, two in found:
        assert sorted(one) == sorted(names)
        assert sorted(two["a+b"]) == labels


def test_what_was_unpacked_is_gone_when_the_model_is(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    closed, dropped = marwright.load(tiny_archive), marwright.load(tiny_archive)
    assert len(list(tmp_path.iterdir())) == 2
    closed.close()
    closed.close()
    del dropped
    gc.collect()

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RequestError, match="this model is closed"):
        closed("tea")


def test_many_threads_may_ask_at_once(model: Model) -> None:
    expected = [model(text) for text in TEXTS]
    wrong: list[Any] = []

    def ask() -> None:
        for text, right in zip(TEXTS * 3, expected * 3, strict=True):
            if model(text) != right:
                wrong.append(text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_host_is_told_what_is_counted(tiny_archive: Path) -> None:
    class Counted:
        def __init__(self) -> None:
            self.totals: dict[str, float] = {}

        def phase(self, name: str) -> Any:
            self.count(name, 1)
            return nullcontext()

        def count(self, name: str, value: float, label: str = "") -> None:
            self.totals[name] = self.totals.get(name, 0) + value

    counted = Counted()
    with marwright.load(tiny_archive, metrics=counted) as model:
        assert counted.totals == {}, "warming up counts nothing"
        model.answer([b'{"instances": ["tea", "of"]}', b"{", b'{"text": "tea", "min_confidence": 1}'])

    expected = {"Requests": 3, "Texts": 3, "BadItems": 1, "Abstentions": 1, "ModelTime": 1}
    assert {name: counted.totals[name] for name in expected} == expected
    assert counted.totals["Tokens"] > 0


# --- handlers of all kinds ---------------------------------------------------------------------------------------


def test_a_handler_of_ones_own_is_loaded_with_what_it_changes(tiny_archive: Path, tmp_path: Path, model: Model) -> None:
    right = model("of the tea")
    predict = "    def predict(self, examples):\n        return [list(one) for one in super().predict(examples)]\n"
    handle = "    def handle(self, data, context):\n        return [b.upper() for b in super().handle(data, context)]\n"
    with marwright.load(child(tiny_archive, tmp_path / "a.mar", predict)) as own:
        assert own("of the tea") == list(right)
    with marwright.load(child(tiny_archive, tmp_path / "b.mar", handle)) as own:
        (good, bad) = own.answer([b'{"text": "of the tea"}', b"{"])
        assert good == Answer(200, json.dumps(right, ensure_ascii=False).encode().upper(), "application/json")
        assert (bad.status, bad.body) == (
            400,
            b'{"CODE": 400, "TYPE": "BADREQUEST", "MESSAGE": "THE BODY IS NOT VALID JSON"}',
        )


@pytest.mark.slow
def test_an_archive_of_the_first_release_answers_as_in_torchserve() -> None:
    """Its handler imports TorchServe, of which this process has nothing."""
    file = PROJECT / "tests" / "samples" / "release-0.1.mar"
    bodies = [json.dumps({"text": one["text"], "request_id": "mine"}).encode() for one in read(file, layout.GOLDEN)]
    bodies += [b"{", b'{"instances": ["tea", "of"], "top_k": 2}', b"tea", b'{"instances": ["tea", 5]}']
    with running(file) as worker, marwright.load(file) as old:
        theirs = worker.answer([Body(body, "") for body in bodies])
        ours = old.answer(bodies)

    for own, other in zip(ours, theirs, strict=True):
        del other.headers["content-type"]
        assert own == other


def test_a_task_without_labels_is_loaded(tiny_archive: Path, tmp_path: Path, model: Model) -> None:
    sample = PROJECT / "tests" / "samples" / "cls_vector_handler" / "cls_vector_handler.py"
    file = changed(tiny_archive, tmp_path / "vectors.mar", {layout.HANDLER: sample.read_bytes(), layout.LABELS: None})
    with marwright.load(file) as vectors:
        assert len(vectors("tea")["vector"]) == len(model("tea"))


def test_foreign_and_broken_archives_get_a_sentence(tiny_archive: Path, tmp_path: Path) -> None:
    known = private_modules()
    with pytest.raises(ArchiveError, match=r"adder\.mar: its handler is not one of marwright's"):
        marwright.load(archived(tmp_path / "a", GOOD_HANDLER))
    with pytest.raises(ArchiveError, match="no such archive"):
        marwright.load(tmp_path / "none.mar")
    other = "import json\n\n\nclass Other:\n    pass\n"
    with pytest.raises(ArchiveError, match="its handler is not one of marwright's"):
        marwright.load(changed(tiny_archive, tmp_path / "b.mar", {layout.HANDLER: other.encode()}))
    with pytest.raises(ArchiveError, match="its handler cannot be loaded: ModuleNotFoundError: No module named 'gone'"):
        marwright.load(changed(tiny_archive, tmp_path / "c.mar", {layout.HANDLER: b"import gone\n"}))
    with pytest.raises(ArchiveError, match="its handler cannot be loaded: RuntimeError: there is no cuda:99 here"):
        marwright.load(tiny_archive, device="cuda:99")
    assert not private_modules() - known


# --- with torch and tokenizers alone -----------------------------------------------------------------------------

ALONE = """
import json, sys, zipfile
from importlib.metadata import distribution, packages_distributions
from importlib.abc import MetaPathFinder
from pathlib import Path

sys.path[:0] = [sys.argv[1]]
waiting, allowed = ["torch", "tokenizers"], set()
while waiting:
    name = waiting.pop()
    if name not in allowed:
        allowed.add(name)
        try:
            waiting += [one.split(";")[0] for one in distribution(name).requires or () if "extra" not in one]
            waiting = ["".join(c if c.isalnum() or c in "-_." else " " for c in one).split()[0] for one in waiting]
        except Exception:
            pass
allowed = {name.lower().replace("_", "-") for name in allowed}
known = {
    module: not allowed & {name.lower().replace("_", "-") for name in names}
    for module, names in packages_distributions().items()
}


class Nothing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if known.get(name.partition(".")[0], False) and name.partition(".")[0] != "marwright":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Nothing())
import marwright

assert "torch" not in sys.modules
for file in sys.argv[2:]:
    with marwright.load(file) as model:
        for answer in model.answer([b'{"text": "of the tea"}', b"{", b"tea"]):
            sys.stdout.write(f"{answer.status} {answer.body.decode()}\\n")
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"yaml", "ts", "numpy", "pydantic", "typer"}))

# The core alone, as who has but the archive can use it.
for name in [name for name in sys.modules if name.partition(".")[0] == "marwright"]:
    del sys.modules[name]
sys.path[0] = "unpacked"
zipfile.ZipFile(sys.argv[2]).extractall("unpacked")
import torch
from model_core import Model, RawRequest
from text_classification_handler import TextClassificationHandler

model = Model(TextClassificationHandler(), Path("unpacked"))
model.load(torch.device("cpu"), batch_size=16)
for answer in model.answer([RawRequest({"body": body}) for body in (b'{"text": "of the tea"}', b"{", b"tea")]):
    print(answer.status, answer.body.decode())
assert "marwright" not in sys.modules
"""


@pytest.mark.slow
def test_nothing_is_needed_but_torch_and_tokenizers(
    tiny_archive: Path, tmp_path: Path, worker: InProcessWorker
) -> None:
    handle = "    def handle(self, data, context):\n        return super().handle(data, context)\n"
    files = [tiny_archive, child(tiny_archive, tmp_path / "own.mar", handle)]
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(PROJECT / "src"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    answers = worker.answer(http(b'{"text": "of the tea"}', ""), http(b"{", ""), http(b"tea", ""))
    expected = [f"{answer.status} {answer.body.decode()}" for answer in answers]
    assert done.stdout.splitlines() == [*expected, *expected, "", *expected], done.stderr


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5, "3", None])
def test_a_batch_has_a_number_of_texts(batch_size: Any, tiny_archive: Path) -> None:
    with pytest.raises(ArchiveError, match=r"goods\.mar: batch_size .*: give a whole number from 1 on"):
        marwright.load(tiny_archive, batch_size=batch_size)


def test_a_url_is_named_as_it_was_given() -> None:
    with pytest.raises(ArchiveError, match=r"^https://x\.invalid/a\.mar: a URL\. Fetch the archive"):
        marwright.load("https://x.invalid/a.mar")


def test_each_takes_no_single_text(model: Model) -> None:
    for text in ("tea", {"text": "tea"}):
        with pytest.raises(RequestError, match="each\\(\\) takes a list of texts"):
            model.each(text)  # type: ignore[arg-type]
