"""Manifests for Kubernetes and KServe: valid by the published schemas, put together by kustomize, and of one mind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from command_line import marwright
from goods_build import Built
from marwright.config import Config, load_config
from marwright.errors import ExportError, MarwrightError
from marwright.fleet.container.context import FILES as IMAGE
from marwright.fleet.kubernetes.manifests import ENDING_S, START_S, export_kubernetes, object_name

VERSIONS = ("1.32", "1.37")
KSERVE_PYTHON = os.environ.get("KSERVE_PYTHON", "")
KUBECTL = shutil.which("kubectl")
ALL = ("key", "monitoring", "queue-latency")
Object = dict[str, Any]


def configured(tmp_path: Path, *settings: str) -> Config:
    file = tmp_path / "goods.yaml"
    file.write_text("name: Pt_Goods\ndata: {source: {name: table, path: goods.csv}}\n", encoding="utf-8")
    return load_config(file, settings)


def exported(tmp_path: Path, *settings: str) -> Path:
    archive = tmp_path / "Pt_Goods.mar"
    archive.write_bytes(bytes(10 << 20))
    export_kubernetes(configured(tmp_path, *settings), archive, tmp_path / "manifests")
    return tmp_path / "manifests"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return exported(tmp_path)


def objects(text: str) -> Iterator[Object]:
    yield from filter(None, yaml.safe_load_all(text))


def manifest(file: Path) -> Object:
    (found,) = objects(file.read_text(encoding="utf-8"))
    return found


def kustomized(folder: Path, overlay: str = "base", components: Iterable[str] = ()) -> dict[str, list[Object]]:
    """What kustomize makes of an overlay with some components: objects by kind."""
    if KUBECTL is None:
        pytest.skip("needs kubectl")
    named = [f"../components/{name}" for name in components]
    together = folder / "together"
    together.mkdir()
    (together / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [f"../{overlay}"], "components": named}))
    done = subprocess.run([KUBECTL, "kustomize", str(together)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found: dict[str, list[Object]] = {}
    for each in objects(done.stdout):
        found.setdefault(each["kind"], []).append(each)
    return found


def validate(each: Object) -> None:
    """By the schemas that Kubernetes publishes; what others define is validated elsewhere."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    if each["apiVersion"].split("/")[0] in ("monitoring.coreos.com", "serving.kserve.io"):
        return
    for version in VERSIONS:
        kubernetes_validate.validate(each, version, strict=True)


# --- valid ---------------------------------------------------------------------------------------------------------


def test_every_manifest_is_valid(folder: Path) -> None:
    kinds = set()
    for file in folder.rglob("*.yaml"):
        if file.name not in ("kustomization.yaml", "adapter.yaml"):
            each = manifest(file)
            validate(each)
            kinds.add(each["kind"])
    assert kinds == {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "ServiceMonitor",
        "ServingRuntime",
        "InferenceService",
    }


def texts_of(value: Any, *keys: str) -> Iterator[Any]:
    """Whatever stands under some keys, at any depth; a patch is YAML in YAML."""
    if isinstance(value, str) and value.startswith("apiVersion:"):
        value = yaml.safe_load(value)
    if isinstance(value, list):
        for one in value:
            yield from texts_of(one, *keys)
    if isinstance(value, dict):
        for key, one in value.items():
            if key in keys and not isinstance(one, dict | list):
                yield one
            yield from texts_of(one, *keys)


@pytest.mark.parametrize("name", ["on", "no", "true", "null", "y", "2024", "0x10", "1e3", "0o7", "1_0"])
def test_a_name_that_yaml_reads_as_another_value_stays_a_name(name: str, tmp_path: Path) -> None:
    config = configured(tmp_path, f"name='{name}'")
    (tmp_path / "a.mar").write_bytes(b"1")
    export_kubernetes(config, tmp_path / "a.mar", tmp_path / "manifests")

    for file in (tmp_path / "manifests").rglob("*.yaml"):
        for each in objects(file.read_text(encoding="utf-8")):
            keys = ("name", "newName", "newTag", "image", "runtime", "app.kubernetes.io/name")
            assert {type(one) for one in texts_of(each, *keys)} <= {str}, file
    image = manifest(tmp_path / "manifests" / "base" / "kustomization.yaml")["images"][0]
    assert image["name"] == image["newName"] == name.lower()


@pytest.mark.parametrize(
    ("overlay", "components"),
    [("base", ()), ("base", ALL), ("base", ["key"]), ("gpu", ["key"]), ("kserve", ())],
    ids=str,
)
def test_what_kustomize_makes_of_them_is_valid(folder: Path, overlay: str, components: Iterable[str]) -> None:
    made = kustomized(folder, overlay, components)

    for each in (one for kind in made.values() for one in kind):
        validate(each)


def test_every_file_that_a_kustomization_names_is_there(folder: Path) -> None:
    named = set()
    for file in folder.rglob("kustomization.yaml"):
        about = manifest(file)
        for each in [*about.get("resources", ()), *about.get("components", ())]:
            there = (file.parent / each).resolve()
            assert there.exists(), f"{file}: {each}"
            named.add(there)
    manifests = {file.resolve() for file in folder.rglob("*.yaml")}
    assert {file for file in manifests - named if file.name not in ("kustomization.yaml", "adapter.yaml")} == set()


def test_a_runtime_and_a_service_are_what_kserve_knows(folder: Path) -> None:
    """By the models of its own package; what is inside a container is validated as Kubernetes' own."""
    if not KSERVE_PYTHON:
        pytest.skip("set KSERVE_PYTHON to a Python that has kserve")
    program = """
import json, re, sys
import kserve

def check(value, kind, place):
    kind = re.sub(r"^(list\\[|dict\\(str, )(.*)[\\])]$", r"\\2", kind)
    model = getattr(kserve, kind, None)
    if isinstance(value, list):
        return [check(each, kind, place) for each in value]
    if not hasattr(model, "openapi_types"):
        return None
    names = {written: name for name, written in model.attribute_map.items()}
    for key, each in value.items():
        assert key in names, f"{place} has {key}, {kind} has {sorted(names)}"
        check(each, model.openapi_types[names[key]], f"{place}.{key}")

for name, kind in (("servingruntime", "V1alpha1ServingRuntime"), ("inferenceservice", "V1beta1InferenceService")):
    check(json.loads(sys.argv[1])[name], kind, name)
"""
    given = {name: manifest(folder / "kserve" / f"{name}.yaml") for name in ("servingruntime", "inferenceservice")}
    for mistaken in ("", "minReplica"):
        given["inferenceservice"]["spec"]["predictor"] |= {mistaken: 2} if mistaken else {}
        command = [KSERVE_PYTHON, "-c", program, json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert (done.returncode == 0) is not bool(mistaken), done.stderr
        assert mistaken in done.stderr


# --- of one mind -----------------------------------------------------------------------------------------------------


def test_every_selector_finds_the_pods_and_every_port_is_one_of_theirs(folder: Path) -> None:
    base = {file.stem: manifest(file) for file in (folder / "base").glob("*.yaml")}
    template = base["deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    monitoring = {file.stem: manifest(file) for file in (folder / "components" / "monitoring").glob("*.yaml")}

    assert labels == {"app.kubernetes.io/name": "pt-goods"}
    assert base["deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert base["service"]["spec"]["selector"] == base["service"]["metadata"]["labels"] == labels
    assert base["disruption"]["spec"]["selector"]["matchLabels"] == labels
    assert base["network"]["spec"]["podSelector"]["matchLabels"] == labels
    assert monitoring["network"]["spec"]["podSelector"]["matchLabels"] == labels
    assert monitoring["servicemonitor"]["spec"]["selector"]["matchLabels"] == labels
    for spread in template["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels
    assert base["autoscaler"]["spec"]["scaleTargetRef"]["name"] == base["deployment"]["metadata"]["name"]
    assert {port["targetPort"] for port in base["service"]["spec"]["ports"]} == ports
    service_ports = {port["name"] for port in base["service"]["spec"]["ports"]}
    assert {each["port"] for each in monitoring["servicemonitor"]["spec"]["endpoints"]} <= service_ports
    allowed = [*base["network"]["spec"]["ingress"], *monitoring["network"]["spec"]["ingress"]]
    assert {port["port"] for rule in allowed for port in rule["ports"]} == ports


def test_a_server_may_write_nothing_but_its_own_folder_and_be_nobody_else(folder: Path) -> None:
    spec = manifest(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    (server,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [(one["name"], one["mountPath"]) for one in server["volumeMounts"]] == [("tmp", "/tmp")]
    assert manifest(folder / "base" / "network.yaml")["spec"]["egress"] == []


def test_the_time_to_end_holds_what_the_server_takes_for_it(folder: Path) -> None:
    spec = manifest(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    environment = {each["name"]: float(each["value"]) for each in server["env"]}
    start, ready = server["startupProbe"], server["readinessProbe"]

    # A proxy that only looks at whether a server is ready sees it in time.
    assert environment["DRAIN_SECONDS"] >= ready["periodSeconds"] * ready["failureThreshold"]
    assert spec["terminationGracePeriodSeconds"] >= environment["DRAIN_SECONDS"] + 10
    assert start["periodSeconds"] * start["failureThreshold"] >= environment["START_SECONDS"]
    predictor = manifest(folder / "kserve" / "inferenceservice.yaml")["spec"]["predictor"]
    assert predictor["terminationGracePeriodSeconds"] == spec["terminationGracePeriodSeconds"]


def test_the_manifests_know_the_image(folder: Path) -> None:
    """What they say of it is what its own files say."""
    first = (IMAGE / "serve.py").read_text(encoding="utf-8")
    door = (IMAGE / "haproxy.cfg").read_text(encoding="utf-8")
    built = (IMAGE / "Containerfile.j2").read_text(encoding="utf-8")
    spec = manifest(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    (runtime,) = manifest(folder / "kserve" / "servingruntime.yaml")["spec"]["containers"]

    assert float(re.findall(r"DOOR_ENDS_WITHIN_S = ([\d.]+)", first)[0]) <= ENDING_S
    assert float(re.findall(r'"START_SECONDS", "(\d+)"', first)[0]) == START_S
    asked = {each.get("name", each["containerPort"]): each["containerPort"] for each in server["ports"]}
    assert asked == {"http": 8080, "metrics": 8082}
    assert "bind :8080" in door
    assert "bind :8082" in door
    for probed in (server, runtime):
        for probe in (value for name, value in probed.items() if name.endswith("Probe")):
            assert probe["httpGet"]["path"] in re.findall(r" (/\w+)", door)
        assert {each["name"] for each in probed["env"]} <= set(re.findall(r"[A-Z]+_SECONDS", first))
    user = spec["securityContext"]["runAsUser"]
    assert f"USER {user}:{spec['securityContext']['runAsGroup']}" in built
    assert runtime["securityContext"]["runAsUser"] == user


def test_workers_fit_into_the_cores_and_memory_of_a_replica(tmp_path: Path) -> None:
    folder = exported(tmp_path, "archive.workers=3", "archive.threads=2", "archive.version=2.1")
    (server,) = manifest(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]["containers"]

    assert server["resources"]["limits"]["cpu"] == "6"
    assert int(server["resources"]["limits"]["memory"].removesuffix("Mi")) >= 768 + 3 * 500
    assert manifest(folder / "base" / "kustomization.yaml")["images"][0]["newTag"] == "2.1"


# --- components ------------------------------------------------------------------------------------------------------


def test_the_key_is_one_for_all_replicas_and_comes_from_a_secret(folder: Path) -> None:
    (deployment,) = kustomized(folder, components=["key"])["Deployment"]
    (server,) = deployment["spec"]["template"]["spec"]["containers"]

    assert {each["name"] for each in server["env"]} == {"API_KEY", "DRAIN_SECONDS", "START_SECONDS"}
    assert server["image"] == "pt_goods:1.0"
    (key,) = (each["valueFrom"]["secretKeyRef"] for each in server["env"] if each["name"] == "API_KEY")
    assert key == {"name": "pt-goods-key", "key": "api-key"}


def test_replicas_follow_the_queue_beside_the_processor(folder: Path) -> None:
    (autoscaler,) = kustomized(folder, components=["queue-latency"])["HorizontalPodAutoscaler"]

    assert [each["type"] for each in autoscaler["spec"]["metrics"]] == ["Resource", "Pods"]
    rule = manifest(folder / "components" / "queue-latency" / "adapter.yaml")["rules"]["custom"][0]
    assert autoscaler["spec"]["metrics"][1]["pods"]["metric"]["name"] == rule["name"]["as"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_the_adapters_expression_is_one_of_prometheus(folder: Path, tmp_path: Path) -> None:
    rule = manifest(folder / "components" / "queue-latency" / "adapter.yaml")["rules"]["custom"][0]
    query = (
        rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="x",pod=~"a|b"')
    )
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [{"record": "wait", "expr": query}]}]}))
    values = {"ts_queue_latency_microseconds": "0+30000x20", "ts_inference_requests_total": "0+10x20"}
    series = [{"series": f'{name}{{namespace="x",pod="a"}}', "values": given} for name, given in values.items()]
    series += [{"series": f'{name}{{namespace="x",pod="b"}}', "values": "7x20"} for name in values]
    expected = [{"labels": '{pod="a"}', "value": 3}, {"labels": '{pod="b"}', "value": 0}]
    test = {"input_series": series, "promql_expr_test": [{"expr": query, "eval_time": "3m", "exp_samples": expected}]}
    check = tmp_path / "test.yaml"
    check.write_text(
        yaml.safe_dump({"rule_files": [str(file)], "evaluation_interval": "15s", "tests": [{"interval": "15s"} | test]})
    )
    done = subprocess.run(["promtool", "test", "rules", str(check)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_gpu_is_asked_for_where_the_archive_has_a_module_for_one(folder: Path, tmp_path: Path) -> None:
    (deployment,) = kustomized(folder, "gpu")["Deployment"]
    spec = deployment["spec"]["template"]["spec"]

    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["containers"][0]["image"] == "pt_goods:1.0-gpu"
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    other = tmp_path / "other"
    other.mkdir()
    assert not (exported(other, "compression.gpu=none") / "gpu").exists()


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pt_classifier", "pt-classifier"), ("A__b-", "a-b"), ("2nd", "model-2nd"), ("a" * 50, "a" * 50)],
)
def test_a_name_becomes_one_that_kubernetes_allows(name: str, expected: str) -> None:
    assert object_name(name) == expected
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", f"{expected}-metrics")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with pytest.raises(ExportError, match=r"none.mar: no archive there. Build it: marwright build CONFIG"):
        export_kubernetes(config, tmp_path / "none.mar", tmp_path / "manifests")
    with pytest.raises(ExportError, match="too long for an object of Kubernetes"):
        object_name("a" * 51)
    with pytest.raises(MarwrightError):
        exported(tmp_path, f"name={'a' * 51}")
    assert not (tmp_path / "manifests").exists()
    exported(tmp_path)
    with pytest.raises(MarwrightError, match="manifests"):
        exported(tmp_path)


@pytest.mark.slow
def test_a_build_is_written_for_kubernetes_by_the_command_line(built: Built, tmp_path: Path) -> None:
    assert marwright("build", built.config).returncode == 0
    done = marwright("export", built.config, "--kubernetes", tmp_path / "manifests")

    assert done.returncode == 0, done.stderr
    assert "kubectl apply -k" in done.stderr + done.stdout
    assert manifest(tmp_path / "manifests" / "base" / "deployment.yaml")["metadata"]["name"] == "goods"
