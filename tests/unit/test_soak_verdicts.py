"""The verdicts of the scenarios under fire: each must be able to fall. No server is started here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import PROJECT
from marwright.errors import MarwrightError
from marwright.mar.golden import GoldenRequest
from soak import keys, killed_worker, neighbours, overload, report, rollout, steady
from soak.__main__ import SCENARIOS
from soak.finding import Finding
from soak.grpc_calls import Call
from soak.grpc_calls import mistake_in as mistake_in_call
from soak.grpc_client import GrpcReply
from soak.hostile import Reply, is_form_error, mistake_in
from soak.hostile_cases import Case
from soak.memory import Growth, Samples
from soak.witnesses import Outcome, Question, Witnesses
from soak.witnesses import judged as judged_answer

QUESTION = Question(
    "tea",
    {
        version: GoldenRequest("tea", [{"label": label, "probability": share} for label, share in answer])
        for version, answer in {"1.0": [("tea", 0.9), ("rice", 0.1)], "2.0": [("rice", 0.7), ("tea", 0.3)]}.items()
    },
)
RIGHT = b'{"tea": 0.89, "rice": 0.11}'
JSON = "application/json"


def lost(sent: float, ended: float, status: int = 500) -> Outcome:
    return Outcome(sent, ended, "refused" if status else "unanswered", status)


def case(body: bytes = b"{}", content_type: str = JSON, method: str = "POST") -> Case:
    return Case(method, "/predictions/goods", content_type, body)


# --- witnesses ---------------------------------------------------------------------------------------------------


def test_a_witness_knows_its_answer_from_another() -> None:
    def mistake(answer: bytes, echoed: str | None = "witness-7") -> str:
        version, found = judged_answer(answer, echoed, QUESTION, "witness-7")
        assert not version
        return found

    assert "came with the id witness-8" in mistake(RIGHT, "witness-8")
    assert "came with the id None" in mistake(RIGHT, None)
    assert "0.200 off" in mistake(b'{"rice": 0.9, "tea": 0.1}')
    for nonsense in (b"", b"[]", b"5", b"<html>"):
        assert "was answered with" in mistake(nonsense)


def test_a_witness_knows_which_version_has_answered() -> None:
    assert judged_answer(RIGHT, "witness-7", QUESTION, "witness-7") == ("1.0", "")
    assert judged_answer(b'{"rice": 0.69, "tea": 0.31}', "witness-7", QUESTION, "witness-7") == ("2.0", "")


# --- rollout -----------------------------------------------------------------------------------------------------


def met(*versions: str, client: int = 0) -> list[Outcome]:
    return [Outcome(at, at + 1, "right", 200, "", version, client) for at, version in enumerate(versions)]


def test_a_rollout_is_seen_by_each_client_as_one_change_and_one_change_back() -> None:
    seen = Witnesses()
    seen.outcomes = [*met("1.0", "2.0", "2.0", "1.0"), *met("1.0", "1.0", "2.0", "1.0", client=1)]
    assert rollout.judged(seen) == []
    seen.outcomes += met("2.0", client=1)
    assert rollout.judged(seen) == ["client 1 was answered by 1.0, 2.0, 1.0, 2.0 in turn"]


def test_a_rollout_may_lose_nothing() -> None:
    seen = Witnesses()
    seen.outcomes = [*met("1.0", "2.0", "1.0"), lost(5, 6, 503), lost(6, 7, 0), Outcome(7, 8, "wrong", 200, "mixed")]
    wrong, refused, unanswered = rollout.judged(seen)
    assert "mixed" in wrong
    assert "503" in refused
    assert "no answer" in unanswered


# --- killed worker -----------------------------------------------------------------------------------------------


def test_only_what_was_in_hand_at_the_kill_may_be_lost() -> None:
    in_hand = [lost(9.9, 10.1) for _ in range(16)]
    assert killed_worker.judged(in_hand, [10.0], batch_size=16) == []
    assert "17 requests were lost" in killed_worker.judged([*in_hand, lost(9.9, 10.2)], [10.0], batch_size=16)[0]
    assert "without a kill" in killed_worker.judged([lost(13.0, 13.1)], [10.0], batch_size=16)[0]
    assert "without a kill" in killed_worker.judged([lost(9.0, 9.1)], [10.0], batch_size=16)[0]


@pytest.mark.parametrize("status", [0, 400])
def test_what_is_lost_gets_a_5xx(status: int) -> None:
    assert "no 5xx" in killed_worker.judged([lost(9.9, 10.1, status)], [10.0], batch_size=16)[0]


def test_a_wrong_answer_is_told() -> None:
    wrong = Outcome(1, 2, "wrong", 200, "somebody else's")
    assert killed_worker.judged([wrong], [10.0], batch_size=16) == ["wrong answer: somebody else's"]


# --- memory ------------------------------------------------------------------------------------------------------


def test_growth_is_measured_from_end_to_end_and_single_jumps_do_not_count() -> None:
    seconds = list(range(100))
    level = [300.0] * 100
    assert Growth.of(seconds, level).share == 0
    level[50] = 900
    assert (Growth.of(seconds, level).share, Growth.of(seconds, level).most) == (0, 900)
    leak = Growth.of(seconds, [300 + 0.1 * second for second in seconds])
    assert leak.per_hour == pytest.approx(360)
    assert leak.share == pytest.approx(0.0283, rel=0.1)
    assert steady.grown({"worker 1": leak}, 0.02) != []
    assert steady.grown({"worker 1": leak}, 0.05) == []


def test_files_that_are_never_given_back_are_noticed() -> None:
    def samples(*files: float) -> dict[str, Samples]:
        return {"frontend": Samples(files=list(files))}

    assert steady.more_files(samples(50, 90, 60, 55, 90, 50)) == []
    assert "holds 91 files and more after 90" in steady.more_files(samples(50, 90, 60, 91, 95, 99))[0]


# --- overload ----------------------------------------------------------------------------------------------------


class Load:
    """The fields of a result that the verdict reads."""

    def __init__(self, **changed: Any) -> None:
        self.due, self.achieved_rate = 3_000, 500.0
        self.failed: dict[str, int] = {}
        self.latency_ms: dict[str, float | None] = {"p50": 100.0, "p99": 200.0}
        self.refusal_ms: dict[str, float | None] = {"p50": 5.0, "p99": 20.0}
        vars(self).update(changed)


REFUSED = {"HTTP 503": 2_000}


@pytest.mark.parametrize(
    ("during", "after", "word"),
    [
        ({}, {}, "no overload"),
        ({"failed": {**REFUSED, "timeout": 9}}, {}, "otherwise than with 503"),
        ({"failed": REFUSED, "achieved_rate": 20.0}, {}, "only 20 a second"),
        ({"failed": REFUSED, "latency_ms": {"p50": 100, "p99": 9_000}}, {}, "answers took 9000 ms"),
        ({"failed": REFUSED, "refusal_ms": {"p50": 150, "p99": 900}}, {}, "a refusal took 150 ms"),
        ({"failed": REFUSED}, {"failed": {"HTTP 503": 1}}, "afterwards requests failed"),
        ({"failed": REFUSED}, {"latency_ms": {"p50": 400, "p99": 900}}, "afterwards an answer took"),
    ],
)
def test_overload_can_be_judged_as_survived_or_not(during: dict[str, Any], after: dict[str, Any], word: str) -> None:
    kept = overload.judged(Load(), Load(failed=REFUSED), Load(), 600, full_queue_ms=400)  # type: ignore[arg-type]
    assert kept == []
    found = overload.judged(Load(), Load(**during), Load(**after), 600, full_queue_ms=400)  # type: ignore[arg-type]
    assert len(found) == 1
    assert word in found[0]


# --- hostile input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "reply", "word"),
    [
        (case(), Reply(503, b'{"type": "PredictionFailed"}'), "503"),
        (case(), Reply(500, b'{"type": "ErrorDataDecoderException"}'), "500"),
        (case(content_type="multipart/form-data"), Reply(500, b'{"type": "NullPointerException"}'), "500"),
        (case(), Reply(599), "599"),
        (case(), Reply(0), "closed without an answer"),
        (case(), Reply(200, b'{"tea": 1.5}'), "answered with 200"),
        (case(), Reply(200, b"{}"), "answered with 200"),
        (case(), Reply(200, b"<html>"), "answered with 200"),
        (case(), Reply(200, b'{"label": null, "predictions": {}}'), "answered with 200"),
        (case(), Reply(200, b'{"predictions": []}'), "answered with 200"),
        (case(b'{"request_id": "a"}'), Reply(200, b'{"tea": 0.5}', "b"), "of another"),
    ],
)
def test_a_reply_that_no_case_may_get_is_noticed(sent: Case, reply: Reply, word: str) -> None:
    assert word in mistake_in(sent, reply, largest_body=1_000)


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (case(), Reply(400, b"{}")),
        (case(), Reply(200, b'{"label": null, "predictions": {"tea": 0.4}}')),
        (case(b"x" * 2_000), Reply(413)),
        (case(b"x" * 2_000), Reply(0)),
        (case(b'{"request_id": 5}'), Reply(200, json.dumps({"predictions": [{"tea": 0.5}]}).encode(), "5")),
        (case(b"data=tea&request_id=%61", "application/x-www-form-urlencoded"), Reply(200, b'{"tea": 1}', "a")),
        (case(content_type="Multipart/Form-Data; boundary="), Reply(500, b'{"type": "ErrorDataDecoderException"}')),
    ],
)
def test_a_reply_that_is_right_is_none(sent: Case, reply: Reply) -> None:
    assert mistake_in(sent, reply, largest_body=1_000) == ""


def test_only_a_form_may_be_one_that_cannot_be_decoded() -> None:
    reply = Reply(500, b'{"type": "ErrorDataDecoderException"}')
    assert is_form_error(case(content_type="application/x-www-form-urlencoded"), reply)
    assert not is_form_error(case(), reply)


# --- neighbours --------------------------------------------------------------------------------------------------


CALL = Call({"data": b"tea"}, streamed=True, question=Question("tea", {"1.0": QUESTION.answers["1.0"]}))
BAD_CALL = Call({"data": b"{}"}, streamed=False)
ERROR = b'{"code": 400, "type": "BadRequest", "message": "text is missing"}'


@pytest.mark.parametrize(
    "reply",
    [
        GrpcReply("OK", (RIGHT, RIGHT)),
        GrpcReply("OK", ()),
        GrpcReply("OK", (b'{"rice": 0.89, "tea": 0.11}',)),
        GrpcReply("OK", (ERROR,)),
        GrpcReply("OK", (b"tea",)),
        GrpcReply("INTERNAL", (), "Worker died."),
        GrpcReply("UNAVAILABLE", (RIGHT,), "half a stream"),
    ],
    ids=str,
)
def test_a_call_without_its_one_right_answer_is_noticed(reply: GrpcReply) -> None:
    assert mistake_in_call(CALL, reply, alone=False)
    assert not mistake_in_call(CALL, GrpcReply("OK", (RIGHT,)), alone=False)


@pytest.mark.parametrize(
    "reply",
    [GrpcReply("OK", (RIGHT,)), GrpcReply("INTERNAL", (), "Worker died."), GrpcReply("OK"), GrpcReply("OK", (b"tea",))],
    ids=str,
)
def test_a_bad_call_that_is_not_told_so_is_noticed(reply: GrpcReply) -> None:
    assert mistake_in_call(BAD_CALL, reply, alone=False)
    assert not mistake_in_call(BAD_CALL, GrpcReply("INVALID_ARGUMENT", (), "text is missing"), alone=True)
    # Among others TorchServe has no status for it.
    assert not mistake_in_call(BAD_CALL, GrpcReply("OK", (ERROR,)), alone=False)
    assert mistake_in_call(BAD_CALL, GrpcReply("OK", (ERROR,)), alone=True)


def test_answers_that_move_with_their_neighbours_are_noticed() -> None:
    alone = np.array([[0.50, 0.30, 0.10, 0.05, 0.03, 0.02]])
    same, moved = alone[None], alone[None, :, [1, 0, 2, 3, 4, 5]]
    assert neighbours.judged(alone, same) == []
    assert neighbours.judged(alone, same + 0.01) == []
    assert any("0.200 off" in each for each in neighbours.judged(alone, moved))
    assert any("among the first 1" in each for each in neighbours.judged(alone, moved))


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "key", "changed", "word"),
    [
        ("POST", "/predictions/goods", "inference", {"without a key": 200}, "200 without a key"),
        ("POST", "/predictions/goods", "inference", {"management": 200}, "200 management"),
        ("POST", "/predictions/goods", "inference", {"inference": 400}, "400 to the right key"),
        ("GET", "/models", "management", {"with a wrong key": 200}, "200 with a wrong key"),
        ("POST", "/models?url=x", "management", {"management": 200}, "200 to the management key"),
        ("DELETE", "/models/goods", "management", {"management": 200}, "200 to the management key"),
    ],
)
def test_a_door_that_stands_open_is_noticed(
    method: str, path: str, key: str, changed: dict[str, int], word: str
) -> None:
    right = 405 if key == "management" and method != "GET" else 200
    closed = {"without a key": 400, "with a wrong key": 400, "inference": 400, "management": 400} | {key: right}
    endpoint = keys.Endpoint(method, "http://127.0.0.1:1", path, None, key)
    assert keys.judged({endpoint: closed}) == []
    (broken,) = keys.judged({endpoint: closed | changed})
    assert word in broken


# --- the report --------------------------------------------------------------------------------------------------


def test_the_table_says_what_was_broken_and_keeps_what_was_not_run_again(tmp_path: Path) -> None:
    file, page = tmp_path / "soak.json", tmp_path / "page.md"
    page.write_text(f"# Page\n\n{report.BEGIN}\nold\n{report.END}\n\nMore.\n")
    for finding in (
        Finding("keys", "It holds", "5 of 5", {}),
        Finding("steady", "It stays", "3 of 5", {}),
        Finding("steady", "It stays", "4 of 5", {}, ("one fell",)),
    ):
        report.record(finding, Path("store/goods.mar"), 0.25, file)
    report.write_table(file, page, list(SCENARIOS))
    lines = page.read_text().splitlines()
    rows = [line.split(" | ")[:3] for line in lines if line.startswith("| It")]
    assert rows == [["| It stays", "4 of 5", "**no**: one fell"], ["| It holds", "5 of 5", "yes"]]
    assert (lines[0], lines[-1]) == ("# Page", "More.")
    assert "old" not in lines
    with pytest.raises(MarwrightError, match="nothing stands between"):
        report.write_table(file, tmp_path / "other.md", list(SCENARIOS))


def test_the_page_names_every_scenario() -> None:
    page = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [name for name in SCENARIOS if f"`{name}`" not in page] == []
    assert report.BEGIN in page
