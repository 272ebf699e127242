"""Starts, watches and stops TorchServe on the archives of a model store."""

from __future__ import annotations

from marwright.serving.java import Java, bundled_java, find_java
from marwright.serving.ports import Ports
from marwright.serving.server import attend, curl_example, running, serving, start, stop
from marwright.serving.state import DEFAULT_STATE, RunningServer

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
