"""Linting: every trap has a case that falls into it, and what we ship falls into none."""

from __future__ import annotations

import json
import re
import reprlib
import struct
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from command_line import PROJECT, marwright
from marwright.archive.station import worker_settings
from marwright.checks.lint import Finding, lint
from marwright.checks.lint.files import SERVER_ERRORS, SERVER_WARNINGS
from marwright.checks.lint.keys import MODEL_KEYS, SERVER_KEYS
from marwright.checks.lint.model_rules import ERRORS as MODEL_ERRORS
from marwright.checks.lint.model_rules import WARNINGS as MODEL_WARNINGS
from marwright.checks.lint.served_together import lint_together
from marwright.checks.lint.server_number_rules import BOUNDS
from marwright.checks.lint.server_rules import ENVELOPES
from marwright.checks.lint.server_settings import HTTP_ADDRESSES
from marwright.config import ArchiveConfig
from marwright.errors import LintError

GOOD_MODEL = {
    "minWorkers": "1",
    "maxWorkers": "1",
    "batchSize": "16",
    "maxBatchDelay": "1",
    "responseTimeout": "30",
}
GOOD_SERVER = {
    "inference_address": "http://127.0.0.1:8080",
    "disable_token_authorization": "false",
    "enable_model_api": "false",
    "allowed_urls": "(?!)",
    "default_workers_per_model": "1",
    "vmargs": "-Dlog4j.configurationFile=quiet.xml",
}
OPEN = {"inference_address": "https://0.0.0.0:8080"}
NO_TOKENS = {"disable_token_authorization": "true"}
MODEL_API = {"enable_model_api": "true"}
MODELS = '{"a": {"1.0": {"batchSize": 4}}}'


def model(tmp_path: Path, settings: dict[str, str | None], more: str = "") -> list[Finding]:
    written = {key: value for key, value in (GOOD_MODEL | settings).items() if value is not None}
    file = tmp_path / "model-config.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in written.items()) + more, encoding="utf-8")
    return lint(file, cores=4)


def server(tmp_path: Path, settings: dict[str, str | None], more: str = "") -> list[Finding]:
    written = {key: value for key, value in (GOOD_SERVER | settings).items() if value is not None}
    file = tmp_path / "config.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in written.items()) + more, encoding="utf-8")
    return lint(file, cores=4)


MODEL_TRAPS = [
    ("answered-without-a-queue", {"asyncCommunication": "true"}),
    ("zero-batch-delay", {"maxBatchDelay": "0"}),
    ("not-a-whole-number", {"batchSize": '"8"'}),
    ("not-a-whole-number", {"batchSize": "8.0"}),
    ("not-a-whole-number", {"batchSize": "eight"}),
    ("not-a-whole-number", {"responseTimeout": "30s"}),
    ("not-a-whole-number", {"responseTimeout": "true"}),
    ("not-a-whole-number", {"jobQueueSize": ""}),
    ("not-a-whole-number", {"responseTimeout": "3000000000"}),
    ("number-too-small", {"batchSize": "0"}),
    ("number-too-small", {"minWorkers": "0", "maxWorkers": "4"}),
    ("number-too-small", {"maxBatchDelay": "-1"}),
    ("not-true-or-false", {"useJobTicket": '"true"'}),
    ("unknown-choice", {"deviceType": "cuda"}),
    ("unknown-choice", {"parallelType": "1"}),
    ("wrong-kind", {"deviceIds": "0"}),
    ("wrong-kind", {"torchrun": "4"}),
    ("misspelt-key", {"batch_size": "8"}),
    ("misspelt-key", {"maxbatchdelay": "8"}),
    ("misspelt-key", {"minWorker": "1"}),
    ("misspelt-key", {"default_workers_per_model": "1"}),
    ("min-workers-without-max", {"maxWorkers": None}),
    ("min-workers-without-max", {"minWorkers": "2"}),
    ("min-workers-without-max", {"minWorkers": None}),
    ("unknown-key", {"threshold": "0.5"}),
    ("workers-left-to-the-server", {"minWorkers": None, "maxWorkers": None}),
    ("response-timeout-reset", {"responseTimeout": None}),
    ("no-batching", {"batchSize": None}),
    ("default-batch-delay", {"maxBatchDelay": None}),
    ("long-batch-delay", {"maxBatchDelay": "100"}),
    ("more-threads-than-cores", {"minWorkers": "5", "maxWorkers": "5"}),
    ("device-ids-on-the-cpu", {"deviceType": "cpu", "deviceIds": "[0]"}),
    ("negative-device-id", {"deviceIds": "[-1]"}),
    ("device-ids-without-workers", {"minWorkers": None, "maxWorkers": None, "deviceIds": "[0, 1]"}),
    ("device-without-a-worker", {"deviceIds": "[0, 1]"}),
]

SERVER_TRAPS = [
    ("not-a-whole-number", {"job_queue_size": "100 # requests"}),
    ("not-a-whole-number", {"job_queue_size": "100 "}),
    ("not-a-whole-number", {"default_response_timeout": "30s"}),
    ("not-a-whole-number", {"max_request_size": "3000000000"}),
    ("not-true-or-false", {"prefer_direct_buffer": "yes"}),
    ("not-true-or-false", {"enable_metrics_api": "true "}),
    ("unknown-key", {"batch_size": "8"}),
    ("unknown-key", {"job_queue_sise": "8"}),
    ("unknown-key", {"TS_JOB_QUEUE_SIZE": "8"}),
    ("models-not-json", {"models": "{a: 1"}),
    ("models-not-json", {"models": '{"a": 1}'}),
    ("settings-under-another-name", {"models": MODELS, "load_models": "b=a.mar"}),
    ("settings-under-another-name", {"models": MODELS, "load_models": "b=a.mar,d.mar"}),
    ("settings-under-another-name", {"models": MODELS, "load_models": "b=c.mar"}),
    ("more-workers-than-cores", {"default_workers_per_model": "5"}),
    ("asynchronous-logging-too-late", {"async_logging": "true"}),
    ("a-log-line-per-request", {"vmargs": None}),
    ("open-to-the-network-without-tokens", OPEN | NO_TOKENS),
    ("open-to-the-network-without-tokens", {"grpc_management_address": "0.0.0.0"} | NO_TOKENS),
    ("model-api-without-tokens", NO_TOKENS | MODEL_API),
    ("open-allowed-urls-with-model-api", MODEL_API | {"allowed_urls": ".*"}),
    ("open-allowed-urls-with-model-api", MODEL_API | {"allowed_urls": "http://store/.*,https?://.*"}),
    ("open-allowed-urls", {"allowed_urls": None}),
    ("model-api", MODEL_API),
    ("management-open-to-the-network", {"management_address": "https://10.0.0.3:8081"}),
    ("metrics-open-to-the-network", {"metrics_address": "http://0.0.0.0:8082"}),
    ("tokens-in-clear-text", {"inference_address": "http://0.0.0.0:8080"}),
    ("tokens-in-clear-text", {"grpc_inference_address": "0.0.0.0"}),
    ("packages-installed-by-archives", {"install_py_dep_per_model": "true"}),
    ("any-web-page", {"cors_allowed_origin": "*"}),
    ("any-web-page", {"cors_allowed_origin": "https://a.example.org, *"}),
    ("a-program-of-its-own", {"python": "/tmp/evil"}),
    ("a-program-of-its-own", {"cpu_launcher_enable": "true", "cpu_launcher_args": "--no_python /tmp/evil"}),
    ("a-program-of-its-own", {"model_server_home": "/tmp"}),
    ("left-to-the-environment", {"python": "$$PYTHON$$"}),
    ("open-allowed-urls", {"allowed_urls": r"\\Qhttps://\\E.*"}),
    ("open-allowed-urls", {"allowed_urls": r"\\Qhttps://store.corp.com\\E.*"}),
    ("open-allowed-urls", {"allowed_urls": "https://(store"}),
    ("open-allowed-urls", {"allowed_urls": r"(?!),\\p{IsNothing}.*"}),
    *[
        ("a-way-into-java", {"vmargs": f"-Dlog4j.configurationFile=a {option}"})
        for option in (
            "-Djava.system.class.loader=Evil",
            "-XX:SharedArchiveFile=/tmp/a",
            "--module-path /tmp",
            "-p /tmp",
            "--upgrade-module-path=/tmp",
            "-Djava.class.path=/tmp",
            "-Djdk.module.path=/tmp",
        )
    ],
    ("not-a-number", {"token_expiration_min": "1h"}),
    *[
        ("keys-that-never-work", {"token_expiration_min": value})
        for value in ("0", "-3", "NaN", "0.01", "0d", "Infinity", "1e18")
    ],
    *[
        ("number-out-of-bounds", {key: str(number)})
        for key, bounds in BOUNDS.items()
        for number in (bounds.least - 1, bounds.most + 1)
        if number < 1 << 31 and key not in ("io_ratio", "number_of_gpu")
    ],
    ("number-out-of-bounds", {"io_ratio": "101", "use_native_io": "false"}),
    ("number-out-of-bounds", {"number_of_gpu": "-1", "default_workers_per_model": "0"}),
    ("not-a-whole-number", {"job_queue_size": "\u0661"}),
    ("not-a-whole-number", {"grpc_inference_max_connection_age_ms": "9223372036854775808"}),
    *[
        ("not-an-address", {key: value})
        for key in HTTP_ADDRESSES
        for value in (
            "127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8080 ",
            "http://127.0.0.1:8080 # mine",
            "http://[::1]:8080",
            "http://:8080",
            "http://127.0.0.1:0",
            "http://127.0.0.1:65535",
            f"http://127.0.0.1:{'9' * 5000}",
            '"http://127.0.0.1:8080"',
            "unix:socket",
        )
    ],
    ("not-an-address", {"inference_address": "unix:/tmp/a", "use_native_io": "false"}),
    *[
        ("not-a-host", {"grpc_inference_address": value})
        for value in ("http://127.0.0.1", "127.0.0.1:7070", "127.0.0.1 ", "not an ip", "127.0.0.1/8")
    ],
    ("tls-without-its-files", {"inference_address": "https://127.0.0.1:8443"}),
    ("tls-without-its-files", {"metrics_address": "HTTPS://127.0.0.1:8445", "certificate_file": "a.pem"}),
    ("tls-without-its-files", {"enable_grpc_ssl": "true"}),
    ("tls-without-its-files", {"enable_grpc_ssl": "true", "keystore": "a.p12"}),
    ("one-address-for-two", {"metrics_address": "http://127.0.0.1:8080"}),
    ("one-address-for-two", {"inference_address": "http://127.0.0.1:8082"}),
    ("one-address-for-two", {"grpc_management_port": "7070"}),
    ("one-address-for-two", {"grpc_inference_port": "8081"}),
    ("one-address-for-two", {"metrics_address": "http://HOST", "management_address": "http://host:8082"}),
    ("unknown-metrics-mode", {"metrics_mode": "promotheus"}),
    *[("blacklist-is-no-pattern", {"blacklist_env_vars": pattern}) for pattern in ("*", ".*KEY.*|*", "(A", "[A")],
    ("more-than-ascii", {"metrics_config": "/jörg/metrics.yaml"}),
    *[
        ("no-archive", {"load_models": value})
        for value in ("a.mar, b.mar", " a.mar,b.mar ", "all ", "a =b.mar", "a= b.mar", '["a.mar"]', "*.mar", "'a.mar'")
    ],
    ("nothing-loaded", {"load_models": "none"}),
    ("nothing-loaded", {"load_models": ""}),
    *[("models-not-json", {"models": text}) for text in ("", "null", "[]", '{"a": {"1.0": {"batchSize": 4,}}}')],
    ("models-not-json", {"models": '{"a": {"1.0": {}, "1.0": {}}}'}),
    ("model-without-versions", {"models": '{"a": null}'}),
    ("model-setting-of-another-kind", {"models": '{"a": {"1.0": {"minWorkers": "1.5"}}}'}),
    ("model-setting-of-another-kind", {"models": '{"a": {"1.0": {"batchSize": 3000000000}}}'}),
    *[
        ("read-otherwise-by-the-launcher", {"cors_allowed_methods": f"GET,\\\n{key}=somewhere"})
        for key in ("vmargs", "plugins_path", "model_store")
    ],
    ("read-otherwise-by-the-launcher", {"vmargs": None, "vmargs: -Xmx1g -Da": "b"}),
    ("read-otherwise-by-the-launcher", {"vmargs": "-Xmx1g \\\n  -Xms1g"}),
    ("read-otherwise-by-the-launcher", {"vmargs": None, "vm\\args": "-Xmx1g"}),
    ("read-otherwise-by-the-launcher", {"vmargs": "-Dhttp\\=1"}),
    ("a-way-into-java", {"vmargs": None, "cors_allowed_methods": "GET,\\\nvmargs=-agentlib:jdwp=server=y"}),
    ("a-program-of-its-own", {"cors_allowed_methods": "GET,\\\n plugins_path = /tmp/plugins"}),
    ("open-allowed-urls", {"allowed_urls": "file://.*"}),
    ("open-allowed-urls", {"allowed_urls": r"https://store\\.corp\\.com.*"}),
    ("open-allowed-urls", {"allowed_urls": r"https://.*\\.amazonaws\\.com/.*"}),
    ("open-allowed-urls", {"allowed_urls": "((a|[^x])+)+"}),
    ("a-way-into-java", {"vmargs": "-agentlib:jdwp=transport=dt_socket,server=y,address=*:5005"}),
    ("a-way-into-java", {"vmargs": "-Xmx1g -Xdebug"}),
    ("a-way-into-java", {"vmargs": "-javaagent:/tmp/a.jar"}),
    ("a-way-into-java", {"vmargs": "-Dcom.sun.management.jmxremote.port=9010"}),
    ("a-way-into-java", {"vmargs": "-XX:OnOutOfMemoryError=/tmp/a.sh"}),
    ("a-way-into-java", {"vmargs": "@/tmp/options"}),
    ("a-way-into-java", {"vmargs": "-Dlog4j.configurationFile=http://example.com/log4j2.xml"}),
    ("settings-from-the-environment", {"enable_envvars_config": "true"}),
    ("settings-from-the-environment", {"use_env_allowed_urls": "true"}),
    ("left-to-the-environment", {"disable_token_authorization": "$$NO_TOKENS$$"}),
    ("a-program-of-its-own", {"system_metrics_cmd": "/tmp/metrics.sh"}),
    ("a-program-of-its-own", {"plugins_path": "/tmp/plugins"}),
    ("archives-from-urls", {"load_models": "a=http://example.com/a.mar"}),
    ("archives-from-urls", {"load_models": "https://example.com/a.mar"}),
    ("archives-from-urls", {"models": '{"a": {"1.0": {"marName": "s3://bucket/a.mar"}}}'}),
    ("images-of-any-size", {"limit_max_image_pixels": "false"}),
    ("misspelt-model-setting", {"models": '{"a": {"1.0": {"batchsize": 4}}}'}),
    ("misspelt-model-setting", {"models": '{"a": {"1.0": {"deviceIds": [0]}}}'}),
    ("misspelt-model-setting", {"model_snapshot": '{"models": {"a": {"1.0": {"minWorker": 1}}}}'}),
    ("misspelt-model-setting", {"model_snapshot": '{"models": {}, "modelcount": 1}'}),
    ("model-setting-of-another-kind", {"models": '{"a": {"1.0": {"minWorkers": true}}}'}),
    ("model-setting-of-another-kind", {"models": '{"a": {"1.0": {"minWorkers": 0}}}'}),
    ("model-setting-of-another-kind", {"models": '{"a": {"1.0": {"marName": 1, "defaultVersion": "yes"}}}'}),
    ("snapshot-not-json", {"model_snapshot": "{"}),
    ("snapshot-not-json", {"model_snapshot": '{"models": 1}'}),
    ("answers-larger-than-the-server-takes", {"max_response_size": "1000000"}),
    ("open-inference-protocol", {"ts_open_inference_protocol": "true"}),
    *[
        ("service-envelope", {"service_envelope": name})
        for name in ("body", "json", "kserve", "kservev2", "json ", "JSON", "base", "mine", "$$ENVELOPE$$")
    ],
]


def severity(rule: str) -> str:
    errors = {own.__name__ for own in (*MODEL_ERRORS, *SERVER_ERRORS)}
    return "error" if rule.replace("-", "_") in errors else "warning"


@pytest.mark.parametrize(("rule", "settings"), MODEL_TRAPS, ids=str)
def test_a_trap_in_a_models_configuration_is_named(tmp_path: Path, rule: str, settings: dict[str, str | None]) -> None:
    found = {finding.rule: finding for finding in model(tmp_path, settings)}

    assert rule in found
    assert found[rule].reason
    assert found[rule].cure
    if rule != "unknown-key":
        assert found[rule].severity == severity(rule)


@pytest.mark.parametrize(("rule", "settings"), SERVER_TRAPS, ids=reprlib.repr)
def test_a_trap_in_a_servers_configuration_is_named(tmp_path: Path, rule: str, settings: dict[str, str | None]) -> None:
    found = {finding.rule: finding for finding in server(tmp_path, settings)}

    assert rule in found
    assert found[rule].reason
    assert found[rule].cure
    if rule != "unknown-key":
        assert found[rule].severity == severity(rule)


def test_every_rule_has_a_case_here() -> None:
    rules = [*MODEL_ERRORS, *MODEL_WARNINGS, *SERVER_ERRORS, *SERVER_WARNINGS]
    names = {rule.__name__.replace("_", "-") for rule in rules}  # type: ignore[attr-defined]

    assert names - {"key-twice"} == {rule for rule, _ in MODEL_TRAPS + SERVER_TRAPS}


def test_what_is_well_written_has_no_finding(tmp_path: Path) -> None:
    section = "handler:\n  anything: 1\npt2: {compile: {enable: true}}\n"
    devices: dict[str, str | None] = {"deviceType": "GPU", "deviceIds": "[0, 1]", "minWorkers": "2", "maxWorkers": "2"}
    assert model(tmp_path, devices | {"useJobTicket": "true"}, section) == []
    assert server(tmp_path, {"load_models": "a.mar,c=d.mar", "models": MODELS}) == []
    assert (
        server(tmp_path, {"load_models": "ALL", "models": MODELS, "inference_address": "http://localhost:8080"}) == []
    )
    # The name in the manifest of pt_v2.mar may be a, whatever its file is called.
    assert server(tmp_path, {"load_models": "pt_v2.mar", "models": MODELS}) == []
    assert (
        server(tmp_path, {"inference_address": "unix:/tmp/inference.sock", "management_address": "http://127.0.0.2"})
        == []
    )
    tls = {"enable_grpc_ssl": "true", "certificate_file": "a.pem", "private_key_file": "a.key"}
    assert server(tmp_path, {"grpc_inference_address": "0.0.0.0"} | tls) == []
    assert server(tmp_path, {"job_queue_size": "+100"}) == []
    # Fractions of a minute, and values from the environment, are as good to TorchServe.
    assert server(tmp_path, {"token_expiration_min": "0.25", "job_queue_size": "$$QUEUE$$"}) == []
    assert server(tmp_path, {"token_expiration_min": "$$MINUTES$$", "prefer_direct_buffer": "$$DIRECT$$"}) == []
    assert server(tmp_path, {"models": '{"a": {"1.0": {"minWorkers": "1", "maxWorkers": 2.0, "batchSize": 4}}}'}) == []
    snapshot = '{"name": "s.cfg", "modelCount": 1, "created": 1, "models": {"a": {"1.0": {"marName": "a.mar"}}}}'
    assert server(tmp_path, {"model_snapshot": snapshot}) == []
    assert server(tmp_path, {"allowed_urls": r"https://store\\.corp\\.com/[^/]*\\.mar"}) == []
    quoted = r"\\Qhttps://store.corp.com/\\E[^/]*\\.mar"
    assert server(tmp_path, {"allowed_urls": quoted, "python": "python", "cpu_launcher_args": "--ninstances 2"}) == []
    assert server(tmp_path, {"job_queue_size": "+100", "max_response_size": "1000100"}) == []
    assert server(tmp_path, MODEL_API | {"allowed_urls": r"https://store\.internal/.*"})[0].rule == "model-api"


@pytest.mark.parametrize(
    "settings",
    [
        *[{key: str(number)} for key, bounds in BOUNDS.items() for number in (bounds.least, bounds.most)],
        {"io_ratio": "500"},
        {"metric_time_interval": "0", "disable_system_metrics": "true"},
        {"number_of_gpu": "-1"},
        {"grpc_inference_max_connection_age_ms": "3000000000"},
        {"unregister_model_timeout": "-1", "initial_worker_port": "-1"},
        {"metrics_mode": " Prometheus "},
        {"inference_address": "http://0.0.0.0:8085", "management_address": "http://0.0.0.0:8085"},
        {"inference_address": "http://127.0.0.1"},
        {"metrics_address": "http://127.0.0.1:8080", "enable_metrics_api": "false"},
        {"metrics_address": "http://127.0.0.2:8080"},
        {"grpc_inference_port": "0", "grpc_management_port": "0"},
        {"grpc_inference_address": "::1", "grpc_management_address": "grpc_host"},
        {"inference_address": "https://127.0.0.1", "keystore": "a.p12"},
        {"metrics_address": "https://127.0.0.1", "enable_metrics_api": "false"},
        {"blacklist_env_vars": ".*USERNAME.*|.*PASSWORD.*"},
        {"load_models": "none"},
        {"load_models": "a=https://example.com/[a].mar"},
        {"models": '{"other": null}'},
        {"models": "{'a': {'1.0': {'defaultVersion': true, 'minWorkers': '1', 'maxWorkers': 1}}}"},
        {"models": "{a: {1.0: {minWorkers: 1; maxWorkers = 1}}} // as Gson has it"},
        {"models": '{"a": {"1.0": {"minWorkers": 1, "minWorkers": 1}}}'},
        {"models": '{"a": {"1.0": {"minWorkers": $$WORKERS$$}}}'},
        {"vmargs": "  -Xmx1g   -Dlog4j.configurationFile=a  "},
        {"plugins_path": "/opt/plugins", "model_store": "/models "},
        {"metrics_config": "/j\\u00f6rg/metrics.yaml"},
    ],
    ids=str,
)
def test_what_torchserve_works_with_is_no_error(tmp_path: Path, settings: dict[str, str | None]) -> None:
    assert [finding for finding in server(tmp_path, settings) if finding.severity == "error"] == []


def test_what_the_launcher_alone_finds_is_named_with_its_line(tmp_path: Path) -> None:
    found = server(tmp_path, {"vmargs": None}, "cors_allowed_methods=GET,\\\nvmargs=-agentlib:jdwp=server=y\n")

    (finding,) = [one for one in found if one.rule == "read-otherwise-by-the-launcher"]
    assert finding.line == len(GOOD_SERVER) + 1
    assert "finds vmargs=-agentlib:jdwp=server=y, where a reader of Java's properties finds no vmargs" in finding.reason


def test_a_key_that_stands_twice_is_found_with_its_line(tmp_path: Path) -> None:
    (finding,) = model(tmp_path, {}, "batchSize: 8\n")
    assert (finding.rule, finding.severity) == ("key-twice", "error")
    (finding,) = server(tmp_path, {}, "# again\nenable_model_api : false\n")
    assert (finding.rule, finding.line) == ("key-twice", 8)


def test_the_line_of_a_setting_is_shown_after_one_that_goes_over_several(tmp_path: Path) -> None:
    (finding,) = server(tmp_path, {}, 'models={\\\n  "a": {}\\\n}\n\n! note\njob_queue_sise 7')

    assert (finding.rule, finding.line, finding.cure) == ("unknown-key", 12, "you probably mean job_queue_size")


@pytest.mark.parametrize(
    ("key", "meant"), [("batch_size", "batchSize"), ("BatchSize", "batchSize"), ("max_batch_delay_ms", "maxBatchDelay")]
)
def test_the_nearest_known_key_is_named(tmp_path: Path, key: str, meant: str) -> None:
    assert [f.cure for f in model(tmp_path, {key: "8"})] == [f"you probably mean {meant}"]


def test_an_envelope_is_refused_with_its_line_and_what_it_does(tmp_path: Path) -> None:
    (finding,) = server(tmp_path, {}, "\nservice_envelope: kserve\n")
    assert (finding.severity, finding.line) == ("error", len(GOOD_SERVER) + 2)
    assert "503" in finding.reason
    assert "only the first request" in finding.reason
    assert "remove the line" in finding.cure
    (finding,) = server(tmp_path, {"service_envelope": "kserve3"})
    assert "no envelope 'kserve3'" in finding.reason
    # Without a value there is none.
    assert server(tmp_path, {"service_envelope": ""}) == []
    done = marwright("lint", tmp_path / "config.properties")
    assert done.returncode == 0, done.stdout


def test_every_envelope_of_torchserve_is_known() -> None:
    package = find_spec("ts.torch_handler.request_envelope")

    assert package is not None
    assert package.origin is not None
    assert {file.stem for file in Path(package.origin).parent.glob("[!_]*.py")} == {"base", *ENVELOPES}


@pytest.mark.parametrize(
    ("most", "longest", "ends"),
    [
        ("1000", 1000, True),
        ("1001", 1000, False),
        ("", 1000, False),
        (None, 7 << 20, True),
        (None, 1_000_000, False),
        ("$$MOST$$", 9, False),
        ("9", None, False),
    ],
)
def test_an_answer_that_the_server_would_not_take_is_found_beside_its_archive(
    tmp_path: Path, most: str | None, longest: int | None, ends: bool
) -> None:
    server(tmp_path, {"max_response_size": most})
    setup = {} if longest is None else {"max_answer_bytes": longest}
    archive = archive_with(tmp_path, None, setup)
    found = list(lint_together(tmp_path / "config.properties", [archive]))

    assert [finding.severity for finding in found] == ["error"] * ends


@pytest.mark.parametrize(
    ("models", "loaded", "found"),
    [
        ('{"a": {"2.0": {"batchSize": 4}}}', "all", ["settings-for-another-version"]),
        ('{"a": {"1.0": {}, "2.0": {}}}', "all", []),
        ('{"a": {"2.0": {}}}', "b=a.mar", []),
        ('{"b": {"2.0": {}}}', "b=a.mar", ["settings-for-another-version"]),
        ('{"c": {"2.0": {}}}', "all", []),
        ("{a: 1", "all", []),
        ('{"a": null}', "all", []),
    ],
)
def test_settings_for_a_version_that_no_archive_has_are_told(
    tmp_path: Path, models: str, loaded: str, found: list[str]
) -> None:
    archive = archive_with(tmp_path, None, {}, modelName="a").rename(tmp_path / "a.mar")
    (tmp_path / "config.properties").write_text(f"models={models}\nload_models={loaded}\n", encoding="utf-8")

    findings = list(lint_together(tmp_path / "config.properties", [archive]))
    assert [finding.rule for finding in findings] == found
    assert all("its version is 1.0" in finding.reason and finding.line == 1 for finding in findings)


def test_an_envelope_in_a_manifest_or_a_models_configuration_is_told_to_be_ignored(tmp_path: Path) -> None:
    file = archive_with(tmp_path, worker_settings(ArchiveConfig(), on_gpu=False), {}, envelope="json")
    found = {finding.rule: finding for finding in lint(file, cores=1)}
    finding = found["envelope-in-manifest"]
    assert (finding.rule, finding.severity) == ("envelope-in-manifest", "warning")
    (finding,) = model(tmp_path, {"service_envelope": "json"})
    assert (finding.rule, finding.severity) == ("misspelt-key", "error")


def test_a_file_that_java_has_written_is_read_as_java_reads_it(tmp_path: Path) -> None:
    escaped = (
        "inference_address=http\\://127.0.0.1\\:8080\n"
        'models={\\n  "a"\\: {"1.0"\\: {"batchSize"\\: 4}}\\n}\n'
        "load_models=a.mar\n"
        "cors_allowed_origin=\\u002a\n"
    )
    (finding,) = server(tmp_path, {"inference_address": None}, escaped)

    assert finding.rule == "any-web-page"


def test_no_workers_at_least_are_one(tmp_path: Path) -> None:
    (finding,) = model(tmp_path, {"minWorkers": "0", "maxWorkers": "4"})

    assert (finding.rule, finding.cure) == ("number-too-small", "write 1 or more")


# --- what we ship and make ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.properties", "production.properties"])
def test_the_shipped_configurations_have_no_finding(name: str) -> None:
    assert lint(PROJECT / "configs" / name, cores=1) == []


def test_the_configuration_for_rollouts_opens_the_model_api_to_key_holders_and_nothing_else() -> None:
    found = lint(PROJECT / "configs" / "rollout.properties", cores=1)

    assert [(finding.severity, finding.rule) for finding in found] == [("warning", "model-api")]


def archive_with(tmp_path: Path, config: str | None, setup: object, **more: object) -> Path:
    file = tmp_path / "goods.mar"
    about: dict[str, object] = {"modelName": "goods", "handler": "h.py", **more}
    with zipfile.ZipFile(file, "w") as archive:
        if config is not None:
            about["configFile"] = "own.yaml"
            archive.writestr("own.yaml", config)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": about}))
        archive.writestr("setup_config.json", json.dumps(setup))
    return file


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("gpu", [None, {}, {"device_ids": [1]}], ids=str)
def test_the_settings_written_into_archives_have_no_finding(
    tmp_path: Path, on_gpu: bool, gpu: dict[str, object] | None
) -> None:
    config = ArchiveConfig.model_validate({"gpu": gpu})
    file = archive_with(tmp_path, worker_settings(config, on_gpu=on_gpu), {"threads": config.threads})

    assert lint(file, cores=1) == []


def test_an_archive_for_some_gpus_names_them_and_has_a_worker_for_each() -> None:
    config = ArchiveConfig.model_validate({"gpu": {"device_ids": [0, 2], "batch_size": 64}})

    assert yaml.safe_load(worker_settings(config, on_gpu=True)) == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 64,
        "maxBatchDelay": 2,
        "responseTimeout": 30,
        "deviceType": "gpu",
        "deviceIds": [0, 2],
    }


def test_the_threads_of_an_archives_workers_count(tmp_path: Path) -> None:
    config = "".join(
        f"{key}: {value}\n" for key, value in (GOOD_MODEL | {"minWorkers": "2", "maxWorkers": "2"}).items()
    )
    file = archive_with(tmp_path, config, {"threads": 3})

    assert lint(file, cores=6) == []
    (finding,) = lint(file, cores=5)
    assert finding.rule == "more-threads-than-cores"
    assert finding.file == f"{file}!own.yaml"


def test_an_archive_without_a_configuration_is_told_what_that_means(tmp_path: Path) -> None:
    assert [finding.rule for finding in lint(archive_with(tmp_path, None, []))] == ["no-model-config"]


# --- the keys that TorchServe knows --------------------------------------------------------------------------------


def strings_of(name: str) -> Iterator[str]:
    """The string constants of a class in the installed TorchServe (Java Virtual Machine Specification, 4.4)."""
    package = find_spec("ts")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "frontend" / "model-server.jar") as jar:
        data = jar.read(f"org/pytorch/serve/{name}.class")
    sizes = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
    texts: dict[int, str] = {}
    used = []
    (count,), at, index = struct.unpack(">H", data[8:10]), 10, 1
    while index < count:
        tag, at = data[at], at + 1
        if tag == 1:
            (length,) = struct.unpack(">H", data[at : at + 2])
            texts[index] = data[at + 2 : at + 2 + length].decode("utf-8", errors="replace")
            at += 2 + length
        else:
            if tag == 8:
                used.append(struct.unpack(">H", data[at : at + 2])[0])
            at += sizes[tag]
        index += 2 if tag in (5, 6) else 1
    yield from (texts[one] for one in used)


def test_the_model_keys_are_those_of_the_installed_torchserve() -> None:
    words = {text for text in strings_of("archive/model/ModelConfig") if text.isidentifier()}

    assert words == MODEL_KEYS


def test_the_server_keys_are_those_of_the_installed_torchserve() -> None:
    words = set(strings_of("util/ConfigManager"))
    of_the_launcher = {"plugins_path", "vmargs", "tsConfigFile"}

    assert SERVER_KEYS - of_the_launcher <= words
    others = {"ts_request_sequence_id", "ts_request_sequence_start", "ts_request_sequence_end", "torchelastic_ts"}
    settings = {word for word in words if "_" in word and word == word.lower() and word.isidentifier()}
    assert settings - SERVER_KEYS == others


# --- what cannot be linted, and the verb -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "- 1", "settings as `key: value`"),
        ("a.yaml", "1: 2", "settings as `key: value`"),
        ("a.yaml", "batchSize: 2024-99-99", "not YAML"),
        ("a.yaml", "!!set {batchSize, maxWorkers}", "settings as `key: value`"),
        ("a.yaml", "name: x\ndata: {}", "a configuration for `marwright build`"),
        ("a.yml", "mode: prometheus", "not a model's configuration"),
        ("a.properties", "a=\0", "null bytes"),
        ("a.properties", "\ufeffinference_address=http://127.0.0.1:8080", "line 1: saved with a byte order mark"),
        ("a.properties", "\ufeff# a comment that goes on \\\nvmargs=-Xmx1g", "line 1: saved with a byte order mark"),
        ("a.txt", "", "give a model-config .yaml, a config.properties or a .mar file"),
    ],
)
def test_what_cannot_be_linted_is_one_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")

    with pytest.raises(LintError, match=f"^{file}: .*{sentence}"):
        lint(file)


def test_the_verb_exits_with_one_on_errors_and_with_strict_on_warnings(tmp_path: Path) -> None:
    warned, wrong, missing = tmp_path / "warned.yaml", tmp_path / "wrong.yaml", tmp_path / "missing.yaml"
    good = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nresponseTimeout: 9\n"
    warned.write_text(good + "maxBatchDelay: 200\n", encoding="utf-8")
    wrong.write_text(good + "maxBatchDelay: 0\n", encoding="utf-8")

    assert marwright("lint", warned).returncode == 0
    assert marwright("lint", warned, "--strict").returncode == 1
    assert marwright("lint", missing).returncode == 2
    both = marwright("lint", warned, wrong, "--json")
    assert both.returncode == 1
    assert [finding["rule"] for finding in json.loads(both.stdout)["findings"]] == [
        "long-batch-delay",
        "zero-batch-delay",
    ]
    shown = marwright("lint", wrong).stdout
    assert shown.startswith(f"{wrong}:5: error: maxBatchDelay: 0 ")
    assert "[zero-batch-delay]" in shown


def test_the_docs_name_every_rule_and_no_other() -> None:
    page = (
        (PROJECT / "docs" / "trust.md").read_text(encoding="utf-8").partition("| errors | |")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (`.*?) \| ", page, flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} - {"serve"}
    rules = {rule.__name__ for rule in (*SERVER_ERRORS, *SERVER_WARNINGS, *MODEL_ERRORS, *MODEL_WARNINGS)}
    files = (PROJECT / "src" / "marwright" / "checks" / "lint").glob("*.py")
    others = {
        name for file in files for name in re.findall(r'"warning", "([a-z-]+)"', file.read_text(encoding="utf-8"))
    }

    assert told == {rule.replace("_", "-") for rule in rules} | others
