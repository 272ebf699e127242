"""The rules for where a server listens and with what it proves itself: one function each."""

from __future__ import annotations

import ipaddress
import re

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import GRPC_ADDRESSES, HTTP_ADDRESSES, ServerSettings, is_from_environment

# ConfigManager's ADDRESS_PATTERN, and the largest port that Connector takes.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^:^/]+)(?::(?P<port>[0-9]+))?|unix:(?P<socket>/.*)", re.IGNORECASE
)
_LARGEST_PORT = 65534
_HOST_NAME = re.compile(r"[^\s:/\[\]]*")
_CURE = "write http://HOST:PORT with nothing after it; HOST is a name or an IPv4 address, since IPv6 is not read"


def not_an_address(settings: ServerSettings) -> Problems:
    """Java compares the whole value, with blanks and comments at its end, and knows no IPv6 addresses."""
    for key in HTTP_ADDRESSES:
        value = settings.values.get(key, "http://127.0.0.1")
        match = _ADDRESS.fullmatch(value)
        if is_from_environment(value):
            continue
        if match is None:
            yield Problem(key, f"{key}={value[:80]!r} is no address to TorchServe, which ends as it starts", _CURE)
        elif match["port"] and not 0 < int(match["port"][:6]) <= _LARGEST_PORT:
            reason = f"{key}={value[:80]} has a port that TorchServe does not take, or tells nobody"
            yield Problem(key, reason, f"write a port from 1 to {_LARGEST_PORT}")
        elif match["socket"] and settings.values.get("use_native_io", "true").lower() != "true":
            reason = f"{key}={value[:80]} is a Unix socket, and with use_native_io=false TorchServe ends as it starts"
            yield Problem(key, reason, "use_native_io=true, or write http://HOST:PORT")


def not_a_host(settings: ServerSettings) -> Problems:
    """Java looks the whole value up as the name of a host."""
    for key in GRPC_ADDRESSES:
        value = settings.values.get(key, "127.0.0.1")
        if not is_from_environment(value) and not _HOST_NAME.fullmatch(value) and not _is_ip(value):
            reason = f"{key}={value[:80]!r} is no host to TorchServe, which ends as it starts"
            cure = f"write the host alone, such as 127.0.0.1; the port is {key.replace('_address', '_port')}"
            yield Problem(key, reason, cure)


def tls_without_its_files(settings: ServerSettings) -> Problems:
    """Without them TorchServe makes a certificate of its own, which Java lets it do no more since 16."""
    own = settings.values
    has_pair = "private_key_file" in own and "certificate_file" in own
    for key in HTTP_ADDRESSES:
        is_on = key != "metrics_address" or settings.values.get("enable_metrics_api", "true").lower() == "true"
        is_tls = own.get(key, "").lower().startswith("https://")
        if is_tls and is_on and not has_pair and "keystore" not in own and "--add-" not in own.get("vmargs", ""):
            reason = f"{key} is https, and without a certificate TorchServe ends as it starts"
            yield Problem(key, reason, "name private_key_file and certificate_file, or a keystore")
    if settings.true("enable_grpc_ssl") and not has_pair:
        reason = "enable_grpc_ssl=true takes private_key_file and certificate_file, without which TorchServe ends"
        yield Problem("enable_grpc_ssl", reason, "name both; a keystore does not count for gRPC")


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


ADDRESS_ERRORS = (not_an_address, not_a_host, tls_without_its_files)
