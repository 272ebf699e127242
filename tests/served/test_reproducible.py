"""The same student gives the same bytes: TorchScript, cards and archive, wherever and however they are made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import tiny_run
from command_line import PROJECT
from marwright.encoder.families import load_module
from marwright.mar import layout
from marwright.mar.sbom import bill_of_materials
from marwright.runtimes import jit
from marwright.schemes.scheme import Texts
from marwright.schemes.static_int8 import StaticInt8
from marwright.workspace import Run
from tiny_models import save_tiny_classifier

EXAMPLE = (torch.tensor([[2, 5, 3], [2, 3, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]))


@pytest.mark.parametrize("method", ["script", "trace"])
def test_a_module_gives_the_same_file_however_many_the_process_has_made(tmp_path: Path, method: str) -> None:
    checkpoint = save_tiny_classifier(tmp_path / "checkpoint", "bert")
    files = [tmp_path / "a.pt", tmp_path / "deeper" / "another name.pt"]
    for file in files:
        module = load_module(checkpoint, method)  # type: ignore[arg-type]
        jit.save(jit.to_torchscript(module, EXAMPLE, script=method == "script"), file)

    first, second = (file.read_bytes() for file in files)
    assert first == second
    with zipfile.ZipFile(files[0]) as written:
        for name in written.namelist():
            assert str(PROJECT).encode() not in written.read(name), name
    torch.testing.assert_close(jit.load(files[0])(*EXAMPLE), load_module(checkpoint, method)(*EXAMPLE))  # type: ignore[arg-type]


def test_another_weight_gives_another_file(tmp_path: Path) -> None:
    module = load_module(save_tiny_classifier(tmp_path / "checkpoint", "bert"), "script")
    jit.save(jit.to_torchscript(module, EXAMPLE, script=True), tmp_path / "a.pt")
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] += 1e-6
    jit.save(jit.to_torchscript(module, EXAMPLE, script=True), tmp_path / "b.pt")

    assert (tmp_path / "a.pt").read_bytes() != (tmp_path / "b.pt").read_bytes()


PROGRAM = """
from pathlib import Path
from test_reproducible import finish_all
finish_all(Path.cwd())
"""
# Fixed scales need a processor with AVX-512 VNNI instructions.
ACTIVATIONS = ("dynamic", "static") if torch.cpu._is_vnni_supported() else ("dynamic",)


def finish_all(folder: Path) -> None:
    """Build each kind from the student that lies in its folder."""
    for activations in ACTIVATIONS:
        tiny_run.finish(Run(folder / activations / "run"), folder / activations / "goods.mar", activations)


def script_others(checkpoint: Path) -> None:
    """Script modules of one layer, which call other methods first than deeper ones do, as an exploration may."""
    float32 = load_module(save_tiny_classifier(checkpoint, "bert", num_hidden_layers=1), "script")
    jit.to_torchscript(float32, EXAMPLE, script=True)
    if "static" in ACTIVATIONS:
        fitted = StaticInt8().fit(float32, Texts([[2, 5, 3], [2, 3]], 0), int8_embeddings=False)
        jit.to_torchscript(StaticInt8().build(float32, fitted.weights), EXAMPLE, script=True)


@pytest.fixture(scope="module")
def built_twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with builds of each kind from one student: made in this process, and in unlike surroundings."""
    root = tmp_path_factory.mktemp("twice")
    trained = tiny_run.trained(root / "trained")
    here, there = folders = [root / "here", root / "far" / "away"]
    for folder in folders:
        for activations in ACTIVATIONS:
            shutil.copytree(trained.root, folder / activations / "run")
    script_others(root / "shallow")
    finish_all(here)
    surroundings = {
        **{"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "HOME": "/", "PYTHONHASHSEED": "2", "PYTHONUTF8": "0"},
        "OMP_NUM_THREADS": str(torch.get_num_threads() + 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=there,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
            **surroundings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_two_builds_from_one_student_hash_alike(built_twice: list[Path], activations: str) -> None:
    if activations not in ACTIVATIONS:
        pytest.skip("this processor has no AVX-512 VNNI instructions")
    folders = [folder / activations for folder in built_twice]
    for name in ("model.pt", "model_gpu.pt", "card.json", "golden_requests.json"):
        here, there = ((folder / "run" / "exported" / name).read_bytes() for folder in folders)
        assert here == there, name
    here, there = ((folder / "goods.mar").read_bytes() for folder in folders)
    assert here == there


# --- the bill of materials ---------------------------------------------------------------------------------------


def test_the_bill_of_materials_is_one(tmp_path: Path) -> None:
    text = bill_of_materials("goods", "1.0", ("torch", "torchserve", "tokenizers"), 0)
    bill = json.loads(text)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    versions = {component["name"]: component["version"] for component in bill["components"]}
    assert versions["torch"] == version("torch")
    assert versions["torchserve"] == "0.12.0"
    assert "huggingface-hub" in versions, "what tokenizers requires belongs to it"
    assert not {"transformers", "pytest", "marwright"} & versions.keys()
    dependencies = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    assert {ref.split("/")[1].split("@")[0] for ref in dependencies["model"]} == {"torch", "torchserve", "tokenizers"}


def test_the_bill_of_materials_has_no_number_drawn_at_random() -> None:
    program = (
        "from marwright.mar.sbom import bill_of_materials\n"
        "print(bill_of_materials('goods', '1.0', ('torchserve', 'tokenizers'), 1700000000), end='')"
    )
    texts = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        texts.add(done.stdout)

    (text,) = texts
    assert json.loads(text)["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    other = bill_of_materials("goods", "1.1", ("torchserve", "tokenizers"), 1700000000)
    assert json.loads(other)["serialNumber"] != json.loads(text)["serialNumber"]


def test_an_archive_carries_its_bill_of_materials(tiny_archive: Path) -> None:
    with zipfile.ZipFile(tiny_archive) as archive:
        bill = json.loads(archive.read(layout.SBOM))

    assert bill["metadata"]["component"]["name"] == "goods"


def test_what_killed_builds_have_left_beside_an_archive_is_swept_away(tmp_path: Path) -> None:
    run = tiny_run.trained(tmp_path / "run")
    left = [tmp_path / name for name in (".goods.mar.ab12.partial", "..goods.mar.ab12.partial.cd34.partial")]
    others = [tmp_path / name for name in (".my_goods.mar.ab12.partial", "goods.mar.sig")]
    for file in (*left, *others):
        file.write_bytes(b"PK")
    tiny_run.finish(run, tmp_path / "goods.mar")
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in others), "they are not this archive's"
