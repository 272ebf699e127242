"""What the client makes of TorchServe's answers, and of none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marwright.errors import ServerError
from marwright.release.predictions import Caller
from marwright.server.versions import Versions
from told_server import answering, connections


def test_models_are_listed_page_by_page() -> None:
    def told(_method: str, path: str, _headers: dict[str, str]) -> tuple[int, Any]:
        page = int(path.rpartition("=")[2])
        model = {"modelName": f"m{page}", "modelUrl": f"m{page}.mar"}
        return 200, {"models": [model]} | ({"nextPageToken": str(page + 1)} if page < 2 else {})

    with answering(told) as server:
        assert server.models() == {"m0": "m0.mar", "m1": "m1.mar", "m2": "m2.mar"}
    assert len(set(connections)) == 3, "TorchServe may close one after an error without a word"


def test_each_address_gets_its_own_key_and_no_proxy_of_the_environment_gets_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    file, seen = tmp_path / "key_file.json", []
    file.write_text(json.dumps({name: {"key": f"key of {name}"} for name in ("inference", "management")}))

    def told(_method: str, _path: str, headers: dict[str, str]) -> tuple[int, Any]:
        seen.append(headers["Authorization"])
        return 200, {"models": []}

    with answering(told, file) as server:
        server.models()
        server.predict("/predictions/tea", {"text": "tea"})
    assert seen == ["Bearer key of management", "Bearer key of inference"]
    file.write_text("{}")
    with pytest.raises(ServerError, match="no inference key can be read"):
        server.predict("/predictions/tea", {})


@pytest.mark.parametrize(
    ("status", "message", "cure"),
    [(400, "Token Authorization failed", "--key-file"), (405, "Method not allowed", "enable_model_api=true")],
)
def test_a_refusal_is_told_with_its_cure(status: int, message: str, cure: str) -> None:
    with answering(lambda *_: (status, {"message": message})) as server:
        for ask in (server.require_registering, lambda: Versions(server, "tea").make_default("2.0")):
            with pytest.raises(ServerError, match=rf"{status}, {message}\. .*{cure}"):
                ask()


@pytest.mark.parametrize("answer", [[], [{}], {"models": 1}, "tea"])
def test_answers_that_are_not_torchserves_are_told(answer: Any) -> None:
    with answering(lambda *_: (200, answer)) as server:
        for ask in (server.models, Versions(server, "tea").default):
            with pytest.raises(ServerError, match="does not answer as it should"):
                ask()


def test_a_request_without_an_answer_has_the_status_0_and_the_next_one_gets_its_own() -> None:
    statuses = iter([200, 0, 503, 200])
    with answering(lambda *_: (next(statuses), {"green tea": 0.9})) as server:
        caller = Caller(server, "tea")
        found = [caller.ask("2.0", {"text": "a"}) for _ in range(4)]
    assert [answer.status for answer in found] == [200, 0, 503, 200]
    assert [answer.value for answer in found if answer.ok] == [{"green tea": 0.9}] * 2
    assert (caller.asked("2.0"), caller.asked("1.0")) == (4, 0)


def test_texts_go_to_both_versions_and_come_back_in_their_order() -> None:
    with answering(lambda _method, path, _headers: (200, {path: 1.0})) as server:
        pairs = Caller(server, "tea").in_turn(["1.0", None], ["a", "b"], rate=200, seconds=0.1)
    assert len(pairs) == 20
    assert len(set(connections)) < 20, "they are kept"
    asked = {"/predictions/tea/1.0": 1.0}, {"/predictions/tea": 1.0}
    assert all(tuple(answer.value for answer in pair) == asked for pair in pairs)
