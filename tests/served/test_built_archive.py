"""The archive that the command line builds, and the verbs that need no server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from command_line import marwright, marwright_process
from goods_build import Built
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.protocol import Body
from marwright.mar.worker import running

pytestmark = pytest.mark.slow


def test_the_archive_holds_what_it_needs_to_explain_and_prove_itself(built: Built) -> None:
    with zipfile.ZipFile(built.archive) as archive:
        names = set(archive.namelist())
        card = json.loads(archive.read(layout.CARD))
    assert names == {
        layout.CPU_MODULE,
        layout.GPU_MODULE,
        layout.TOKENIZER,
        layout.LABELS,
        layout.SETUP,
        layout.MODEL_CONFIG,
        layout.GOLDEN,
        layout.CARD,
        layout.MODEL_CARD,
        layout.HASHES,
        layout.SBOM,
        layout.MANIFEST,
        layout.HANDLER,
        "resilient_handler.py",
        "bad_request.py",
        "open_inference.py",
        "request_parsing.py",
        "prediction_failure.py",
        "text_encoding.py",
        "torchscript_runtime.py",
        "cuda_graph_runtime.py",
        "batch_buckets.py",
        "batch_metrics.py",
        "cuda_device.py",
        "graph_proof.py",
        "graph_recording.py",
        "model_core.py",
        "torchserve_host.py",
        "request_bytes.py",
        "request_origin.py",
        "text_fields.py",
        layout.TRAINING_DIGESTS,
    }
    assert card["data"]["labels"] == 6
    assert card["archive"]["accuracy"] > card["data"]["majority_share"]["test"] + 0.2


def test_the_exported_module_answers_as_the_model_it_was_made_from(built: Built) -> None:
    card = read_json(built.run.exported.card)
    assert max(card["parity"]["before"].values()) < 1e-4
    assert card["test"]["same_label_as_student"] >= 0.98


@pytest.mark.alone
def test_a_second_build_does_nothing_and_says_so_within_five_seconds(built: Built) -> None:
    assert marwright("build", built.config).returncode == 0  # the archive was packed for another store
    started = time.monotonic()
    again = marwright_process("build", built.config, "--json")
    seconds = time.monotonic() - started
    assert [step["fresh"] for step in json.loads(again.stdout)["stations"]] == [True] * 6
    assert again.stderr.count("fresh") == 6
    assert seconds < 5


def test_a_changed_setting_reruns_only_what_depends_on_it(built: Built, tmp_path: Path) -> None:
    own = built.copied(tmp_path)
    again = marwright("build", own.config, "--set", "archive.top_k=3", "--json")
    assert again.returncode == 0, again.stderr
    steps = {step["station"]: step["fresh"] for step in json.loads(again.stdout)["stations"]}
    assert steps.pop("archive") is False
    assert all(steps.values())


def test_predict_gives_labels_best_first_without_java(built: Built) -> None:
    without_java = {"PATH": str(Path(sys.executable).parent), "HOME": os.environ.get("HOME", "/")}
    done = marwright_process("predict", built.archive, "tractors", "rice in the husk", "--json", env=without_java)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [answer["text"] for answer in answers] == ["tractors", "rice in the husk"]
    for answer in answers:
        probabilities = list(answer["labels"].values())
        assert len(probabilities) == 5
        assert probabilities == sorted(probabilities, reverse=True)
    assert next(iter(answers[1]["labels"])) == "Vegetable products"


def test_evaluate_scores_the_test_split_through_the_handler(built: Built) -> None:
    done = marwright("evaluate", built.archive, built.config, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == read_json(built.run.data.card)["rows"]["test"]
    assert result["accuracy"] == pytest.approx(read_json(built.run.exported.card)["test"]["accuracy"], abs=0.01)
    assert result["same_label_as_student"] >= 0.98
    assert {"macro_f1", "weighted_f1"} <= result.keys()


def test_inspect_shows_the_model_its_settings_and_its_figures(built: Built) -> None:
    shown = marwright("inspect", built.archive).stdout
    for part in ("goods 1.0", "batchSize", "archive, test accuracy", "text_classification_handler.py"):
        assert part in shown


def test_what_is_built_verifies_and_lints_without_a_finding(built: Built) -> None:
    report = json.loads(marwright("verify", built.archive, "--json").stdout)
    assert report["holds"], report
    assert {check["name"] for check in report["checks"] if check["state"] == "skipped"} == {"signature"}
    assert marwright("lint", built.archive, "--strict").returncode == 0


def test_the_worker_imports_neither_transformers_nor_marwright(built: Built) -> None:
    with running(built.archive) as worker:
        worker.classify(["tractors"])
        # Its keeper, whose child it is, has the same command line.
        there = psutil.Process().children(recursive=True)
        _, pid = (each.pid for each in there if any(str(worker.log.parent) in one for one in each.cmdline()))
        maps = Path(f"/proc/{pid}/maps").read_text()
        open_modules = subprocess.run(
            [
                sys.executable,
                "-c",
                _LIST_IMPORTS.format(folder=str(Path(f"/proc/{pid}/cwd").readlink())),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    assert "tokenizers" in maps
    assert "text_classification_handler" in open_modules
    assert not {"transformers", "marwright", "datasets", "pydantic"} & set(open_modules)


_LIST_IMPORTS = """
import sys
sys.path.insert(0, {folder!r})
import text_classification_handler
print(*{{name.partition(".")[0] for name in sys.modules}})
"""


def test_one_bad_item_fails_alone_in_a_batch_of_sixteen(built: Built) -> None:
    texts = [request["text"] for request in read_json(built.run.exported.golden)[:16]]
    bodies = [Body(json.dumps({"text": text, "request_id": f"id-{at}"}).encode()) for at, text in enumerate(texts)]
    bad = {
        b'{"text": 7}': 400,
        b'{"texts": "tractors"}': 400,
        b'{"text": "tractors", "top_k": 0}': 400,
        b'{"text": "\xff"}': 400,
        b'{"text": "tractors"': 400,
        b'{"instances": []}': 400,
        b"[" * 100_000: 400,
        b'{"text": "\\ud800"}': 400,
    }
    with running(built.archive) as worker:
        right = worker.answer(bodies)
        for body, status in bad.items():
            answers = worker.answer([*bodies[:7], Body(body), *bodies[8:]])
            assert answers[7].status == status, body[:40]
            assert json.loads(answers[7].body)["message"]
            for at in (*range(7), *range(8, 16)):
                assert answers[at].status == 200
                assert answers[at].headers["X-Client-Request-Id"] == f"id-{at}"
                expected, found = json.loads(right[at].body), json.loads(answers[at].body)
                assert next(iter(found)) == next(iter(expected))


def test_many_instances_come_back_in_their_order(built: Built) -> None:
    golden = read_json(built.run.exported.golden)[:10]
    body = {"instances": [{"text": request["text"]} for request in golden], "top_k": 1}
    with running(built.archive) as worker:
        (answer,) = worker.answer([Body(json.dumps(body).encode())])
    predictions = json.loads(answer.body)["predictions"]
    assert [len(prediction) for prediction in predictions] == [1] * 10
    same = [next(iter(p)) == g["answer"][0]["label"] for p, g in zip(predictions, golden, strict=True)]
    assert sum(same) >= 9


def test_user_text_is_never_logged(built: Built, tmp_path: Path) -> None:
    secret = "zanzibar-4711"
    with running(built.archive) as worker:
        for value in (secret, {"text": secret}, {"text": [secret]}, {"instances": [secret, 7]}, {"top_k": secret}):
            worker.answer([Body(json.dumps(value).encode())])
        worker.answer([Body(secret.encode() + b"\xff", "text/plain"), Body(secret.encode(), "text/plain", "data")])
        log = worker.log.read_text(errors="replace")
    assert "MarwrightBadItems" in log
    assert secret not in log


@pytest.fixture
def few(built: Built, goods: Path, tmp_path: Path) -> list[str]:
    """Arguments that train a new teacher on a few of the goods, in a run of its own below ``tmp_path``."""
    header, *rows = goods.read_text(encoding="utf-8").splitlines()
    table = tmp_path / "few.csv"
    table.write_text("\n".join([header, *rows[::6]]) + "\n", encoding="utf-8")
    settings = {"data.source.path": table, "runs": tmp_path, "data.split.rare_labels": "drop", "teacher.max_length": 12}
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["build", str(built.config), "--until", "teacher", *overrides]


def test_a_build_killed_in_training_goes_on_from_its_last_checkpoint(few: list[str], tmp_path: Path) -> None:
    arguments = [*few, "--set", "teacher.epochs=3"]
    with subprocess.Popen(
        [sys.executable, "-m", "marwright", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2 of 3" in line:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "goods" / "teacher").exists()
    again = marwright(*arguments)
    assert again.returncode == 0, again.stderr
    assert "going on from checkpoint" in again.stderr
    assert "epoch 1 of 3" not in again.stderr
    assert [entry["epoch"] for entry in read_json(tmp_path / "goods" / "teacher" / "history.json")] == [1, 2, 3]


def test_two_processes_train_together_and_write_once(few: list[str], tmp_path: Path) -> None:
    arguments = [*few, "--set", "teacher.epochs=1"]
    # On a CPU `accelerate launch` starts one process, however many are asked for.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "-m", "marwright", *arguments],
        cwd=tmp_path,
        env=os.environ | {"ACCELERATE_USE_CPU": "true"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("teacher: test accuracy") == 1
    again = marwright(*arguments, "--json")
    assert [step["fresh"] for step in json.loads(again.stdout)["stations"]] == [True, True]
