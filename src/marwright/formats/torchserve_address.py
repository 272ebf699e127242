"""Addresses in a config.properties, as TorchServe reads them (ConfigManager, Connector)."""

from __future__ import annotations

import re

ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^:^/]+)(?::(?P<port>[0-9]+))?|unix:(?P<socket>/.*)", re.IGNORECASE
)
LARGEST_PORT, LARGEST_GRPC_PORT = 65534, 65535
# Of a key that is not there, and of an address that has no port.
DEFAULT_PORT = {
    "inference_address": 8080,
    "management_address": 8081,
    "metrics_address": 8082,
    "grpc_inference_port": 7070,
    "grpc_management_port": 7071,
}
WITHOUT_PORT = {
    "inference_address": {"http": 80, "https": 443},
    "management_address": {"http": 8081, "https": 8444},
    "metrics_address": {"http": 8082, "https": 8445},
}


def port_of(digits: str) -> int:
    """The port that digits say, however many there are; one that is too large stays too large."""
    return int(digits.lstrip("0")[:6] or "0")
