"""The rules for protocols of others that TorchServe speaks in front of every handler of a server."""

from __future__ import annotations

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import ServerSettings

# ts/torch_handler/request_envelope of TorchServe 0.12.
ENVELOPES = ("body", "json", "kserve", "kservev2")
_FIRST_ONLY = ("kserve", "kservev2")
_CURE = 'remove the line: without it {"instances": […]} is read, and KServe\'s path /v1/models/NAME:predict answers'


def service_envelope(settings: ServerSettings) -> Problems:
    """It changes what ``handle`` is given and what becomes of its answers, for all models of a server alike."""
    value = settings.values.get("service_envelope", "")
    if not value:
        return
    if value not in ENVELOPES:
        reason = f"TorchServe has no envelope {value!r}: every worker dies while it loads its model"
    else:
        reason = (
            f"service_envelope={value} stands between TorchServe and every handler: marwright's is given other data "
            "than it reads, and every request gets a 503 or 400"
        )
        if value in _FIRST_ONLY:
            reason += "; of a batch, whoever's handler, only the first request is read"
    yield Problem("service_envelope", reason, _CURE)


def open_inference_protocol(settings: ServerSettings) -> Problems:
    """TorchServe reads KServe's fields from whatever a handler answers to a call of ``ModelInfer``."""
    if settings.true("ts_open_inference_protocol"):
        reason = (
            "ts_open_inference_protocol=true opens a call of gRPC whose answers must be KServe's: at any other, "
            "such as marwright's, TorchServe fails and ends the worker"
        )
        cure = "ts_open_inference_protocol=false; Predictions of TorchServe's own service is answered"
        yield Problem("ts_open_inference_protocol", reason, cure)
