"""The rules for where a server listens and with what it proves itself: one function each."""

from __future__ import annotations

import re

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_number_rules import java_integer
from marwright.checks.lint.server_settings import GRPC_ADDRESSES, HTTP_ADDRESSES, ServerSettings, ip_of
from marwright.formats.torchserve_address import ADDRESS, DEFAULT_PORT, LARGEST_PORT, WITHOUT_PORT, port_of

_HOST_NAME = re.compile(r"[^\s:/\[\]]*")
_CURE = "write http://HOST:PORT with nothing after it; HOST is a name or an IPv4 address, since IPv6 is not read"


def not_an_address(settings: ServerSettings) -> Problems:
    """Java compares the whole value, with blanks and comments at its end, and knows no IPv6 addresses."""
    for key in HTTP_ADDRESSES:
        value = settings.known.get(key, "http://127.0.0.1")
        match = ADDRESS.fullmatch(value)
        if match is None:
            yield Problem(key, f"{key}={value[:80]!r} is no address to TorchServe, which ends as it starts", _CURE)
        elif match["port"] and not 0 < port_of(match["port"]) <= LARGEST_PORT:
            reason = f"{key}={value[:80]} has a port that TorchServe does not take, or tells nobody"
            yield Problem(key, reason, f"write a port from 1 to {LARGEST_PORT}")
        elif match["socket"] and not settings.true("use_native_io", default="true"):
            reason = f"{key}={value[:80]} is a Unix socket, and with use_native_io=false TorchServe ends as it starts"
            yield Problem(key, reason, "use_native_io=true, or write http://HOST:PORT")


def not_a_host(settings: ServerSettings) -> Problems:
    """Java looks the whole value up as the name of a host."""
    for key in GRPC_ADDRESSES:
        value = settings.known.get(key, "127.0.0.1")
        if not _HOST_NAME.fullmatch(value) and ip_of(value) is None:
            reason = f"{key}={value[:80]!r} is no host to TorchServe, which ends as it starts"
            cure = f"write the host alone, such as 127.0.0.1; the port is {key.replace('_address', '_port')}"
            yield Problem(key, reason, cure)


def tls_without_its_files(settings: ServerSettings) -> Problems:
    """Without them TorchServe makes a certificate of its own, which Java lets it do no more since 16."""
    own = settings.values
    has_pair = "private_key_file" in own and "certificate_file" in own
    for key in HTTP_ADDRESSES:
        is_on = key != "metrics_address" or settings.true("enable_metrics_api", default="true")
        is_tls = own.get(key, "").lower().startswith("https://")
        if is_tls and is_on and not has_pair and "keystore" not in own and "--add-" not in own.get("vmargs", ""):
            reason = f"{key} is https, and without a certificate TorchServe ends as it starts"
            yield Problem(key, reason, "name private_key_file and certificate_file, or a keystore")
    if settings.true("enable_grpc_ssl") and not has_pair:
        reason = "enable_grpc_ssl=true takes private_key_file and certificate_file, without which TorchServe ends"
        yield Problem("enable_grpc_ssl", reason, "name both; a keystore does not count for gRPC")


def one_address_for_two(settings: ServerSettings) -> Problems:
    """TorchServe answers inference and management at one address if it is the same for both, and nothing else."""
    keys: dict[tuple[str, int], str] = {}
    for key in DEFAULT_PORT:
        place = _grpc_place(settings, key) if key.startswith("grpc_") else _http_place(settings, key)
        if place is None or not place[1]:
            continue
        other = keys.setdefault(place, key)
        if other != key and (other, key) != ("inference_address", "management_address"):
            reason = f"{other} and {key} are both {place[0]}:{place[1]}, and TorchServe ends as it starts"
            yield Problem(key if key in settings.values else other, reason, f"give {key} another port")


def _http_place(settings: ServerSettings, key: str) -> tuple[str, int] | None:
    if key == "metrics_address" and not settings.true("enable_metrics_api", default="true"):
        return None
    match = ADDRESS.fullmatch(settings.values.get(key, f"http://127.0.0.1:{DEFAULT_PORT[key]}"))
    if match is None or match["host"] is None:
        return None
    return match["host"].lower(), port_of(match["port"] or str(WITHOUT_PORT[key][match["scheme"].lower()]))


def _grpc_place(settings: ServerSettings, key: str) -> tuple[str, int] | None:
    port = java_integer(key, settings.values.get(key, str(DEFAULT_PORT[key])))
    return None if port is None else (settings.values.get(key.replace("_port", "_address"), "127.0.0.1").lower(), port)


ERRORS = (not_an_address, not_a_host, tls_without_its_files, one_address_for_two)
WARNINGS = ()
