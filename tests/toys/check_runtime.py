"""With the toy runtime registered."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

import tiny_run
from marwright.checks.verify import answering, verify
from marwright.config import ArchiveConfig
from marwright.errors import ExportError
from marwright.files import read_json
from marwright.fleet.triton import export_triton
from marwright.mar.worker import running
from marwright.runtimes import RUNTIMES, load
from verified import failures


def test_it_exports_and_loads_and_its_archive_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "TIMED", 2)
    archive, run = tmp_path / "goods.mar", tiny_run.trained(tmp_path / "run")
    tiny_run.finish(run, archive, "dynamic", "toy")  # type: ignore[arg-type]

    assert run.exported.cpu.name == "model.toy"
    assert load(run.exported.cpu) is not None
    assert read_json(run.exported.card)["runtime"] == "toy"
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        setup, bill = (opened.read(name).decode() for name in ("setup_config.json", "sbom.cdx.json"))
    assert {"model.toy", "toy_runtime.py", "torchscript_runtime.py"} <= set(names)
    assert '"runtime": "toy_runtime"' in setup
    assert '"safetensors"' in bill
    with running(archive) as worker:
        assert worker.classify(["of the tea"])[0]
    assert not failures(verify(archive))
    with pytest.raises(ExportError, match="Triton has nothing that computes modules for toy"):
        export_triton(run, run.student, ArchiveConfig(), "goods", tmp_path / "models")


def test_its_name_is_a_choice_and_it_refuses_what_it_has_not(tmp_path: Path) -> None:
    from marwright.config.described import wanted_at
    from marwright.runtimes import Wishes

    assert {*RUNTIMES} == {*re.findall(r"[\w-]+(?=,| or|$)", wanted_at(("export", "runtime")))} >= {"toy"}
    assert "archive.threads above 1 is not for" in str(RUNTIMES["toy"].refusal(Wishes(several_threads=True)))
