"""Starts, watches and stops TorchServe on the archives of a model store."""

from __future__ import annotations

from marwright.server.java import Java, bundled_java, find_java
from marwright.server.ports import Ports
from marwright.server.server import attend, curl_example, running, serving, start, stop
from marwright.server.state import DEFAULT_STATE, RunningServer

__all__ = [
    "DEFAULT_STATE",
    "Java",
    "Ports",
    "RunningServer",
    "attend",
    "bundled_java",
    "curl_example",
    "find_java",
    "running",
    "serving",
    "start",
    "stop",
]
