"""The folder for a Ray cluster, and the application that its configuration names, without a cluster."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from command_line import marwright
from foreign_archives import changed, minimal
from marwright.errors import ArchiveError
from marwright.mar.reading import describe

pytest.importorskip("ray.serve", reason="needs the ray extra")
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeDeploySchema

from marwright.fleet.ray_files import export_ray
from marwright.fleet.ray_serve import Arguments, app


@pytest.fixture(scope="module")
def folder(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "served"
    export_ray(tiny_archive, folder)
    return folder


def second_version(archive: Path, file: Path) -> Path:
    manifest = describe(archive)["manifest"]
    manifest["model"]["modelVersion"] = "2.0"
    return changed(archive, file, {"MAR-INF/MANIFEST.json": json.dumps(manifest).encode()})


def deployments(**arguments: Any) -> dict[str, Any]:
    built = build_app(app(Arguments(**arguments)), name="default", default_runtime_env={})
    return {one.name: one for one in built.deployments}


def test_the_configuration_is_one_of_serve(folder: Path, tiny_archive: Path) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load((folder / "serve.yaml").read_text()))
    (application,) = config.applications

    assert application.args["archive"] == str(folder / "goods.mar")
    assert (folder / "goods.mar").read_bytes() == tiny_archive.read_bytes()
    assert set(deployments(**application.args)) == {"goods"}


def test_the_service_of_kuberay_serves_the_archive_in_the_image(folder: Path) -> None:
    service = yaml.safe_load((folder / "rayservice.yaml").read_text())
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))

    assert (service["apiVersion"], service["kind"], service["metadata"]["name"]) == ("ray.io/v1", "RayService", "goods")
    assert f"COPY goods.mar {config.applications[0].args['archive']}\n" in (folder / "Containerfile").read_text()


@pytest.mark.parametrize(
    "name", ["on", "null", "2024", "0x10", "1e3", "odd name & Ü", "a: {b}", 'quo"te', "ÜÜ", "../x", "-a"]
)
def test_any_name_of_a_model_or_a_file_is_kept(name: str, tiny_archive: Path, tmp_path: Path) -> None:
    manifest = describe(tiny_archive)["manifest"]
    manifest["model"]["modelName"] = name
    file = tmp_path / "odd name & Ü.mar"
    changed(tiny_archive, file, {"MAR-INF/MANIFEST.json": json.dumps(manifest).encode()})
    export_ray(file, tmp_path / "served")

    application = yaml.safe_load((tmp_path / "served" / "serve.yaml").read_text())["applications"][0]
    service = yaml.safe_load((tmp_path / "served" / "rayservice.yaml").read_text())
    (archive,) = (tmp_path / "served").glob("*.mar")
    assert application["name"] == name
    assert application["args"]["archive"] == str(archive)
    assert isinstance(service["metadata"]["name"], str)
    assert shlex.split(archive.name) == [archive.name]
    copies = [line for line in (tmp_path / "served" / "Containerfile").read_text().splitlines() if "COPY" in line]
    assert copies == [f"COPY {archive.name} /archives/{archive.name}"]
    curl = next(
        line for line in (tmp_path / "served" / "README.md").read_text().splitlines() if line.startswith("curl")
    )
    assert shlex.split(curl)[1] == f"localhost:8000/predictions/{quote(name, safe='')}"


def test_an_archive_says_how_it_is_served(tiny_archive: Path) -> None:
    settings = describe(tiny_archive)["model_config"]
    one = deployments(archive=tiny_archive, min_replicas=2)["goods"]
    config = one._deployment_config

    assert config.max_ongoing_requests >= 2 * settings["batchSize"]
    assert config.graceful_shutdown_timeout_s == settings["responseTimeout"]
    assert config.autoscaling_config.min_replicas == 2
    assert config.autoscaling_config.target_ongoing_requests == settings["batchSize"]
    assert config.max_surge_percent == 100
    assert one.ray_actor_options["num_cpus"] == describe(tiny_archive)["setup"]["threads"]


def test_versions_and_archives_are_deployments_behind_a_router(tiny_archive: Path, tmp_path: Path) -> None:
    second = second_version(tiny_archive, tmp_path / "second.mar")
    built = deployments(archives={"goods": {tiny_archive: 90, second: 10}, "wool": tiny_archive}, cpus=0.5)

    assert set(built) == {"goods-1.0", "goods-2.0", "wool-1.0", "router"}
    assert built["router"]._deployment_config.user_config == {"goods": {"1.0": 90, "2.0": 10}, "wool": {"1.0": 1}}
    assert built["wool-1.0"].ray_actor_options["num_cpus"] == 0.5


def test_one_archive_under_a_name_needs_no_router(tiny_archive: Path) -> None:
    assert set(deployments(archives={"wool": tiny_archive})) == {"wool"}


def test_what_cannot_be_served_is_refused(tiny_archive: Path, tmp_path: Path) -> None:
    copy = shutil.copyfile(tiny_archive, tmp_path / "copy.mar")
    foreign = minimal(tmp_path / "foreign.mar", {})

    for arguments, says in [
        ({}, "Say what to serve"),
        ({"archive": tiny_archive, "archives": {"goods": tiny_archive}}, "Say what to serve"),
        ({"archive": tmp_path / "none.mar"}, "no such archive"),
        ({"archive": foreign}, "not an archive of `marwright build`"),
        ({"archives": {"goods": {tiny_archive: 1, copy: 1}}}, "the version 1.0 too"),
    ]:
        with pytest.raises(ArchiveError, match=says):
            app(Arguments.model_validate(arguments))
    with pytest.raises(ValueError, match="replicas"):
        Arguments.model_validate({"archive": tiny_archive, "replicas": 3})


def test_the_command_line_takes_an_archive(tiny_archive: Path, tmp_path: Path) -> None:
    done = marwright("export", tiny_archive, "--ray", tmp_path / "served")

    assert done.returncode == 0, done.stderr
    assert f"serve run {tmp_path / 'served' / 'serve.yaml'}" in done.stderr + done.stdout
    assert {file.name for file in (tmp_path / "served").iterdir()} == {
        "Containerfile",
        "README.md",
        "goods.mar",
        "rayservice.yaml",
        "serve.yaml",
    }


def test_the_command_line_refuses_what_an_archive_has_not(tiny_archive: Path, tmp_path: Path) -> None:
    foreign = minimal(tmp_path / "foreign.mar", {})
    for arguments in (
        [tiny_archive, "--triton", tmp_path / "a", "--ray", tmp_path / "b"],
        [foreign, "--ray", tmp_path / "c"],
    ):
        done = marwright("export", *arguments)

        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["foreign.mar"]
