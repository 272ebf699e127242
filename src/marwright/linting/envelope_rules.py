"""The rule for ``service_envelope``, which TorchServe puts around every handler of a server."""

from __future__ import annotations

from collections.abc import Iterator

from marwright.linting.findings import Problem
from marwright.linting.server_settings import ServerSettings

# ts/torch_handler/request_envelope of TorchServe 0.12.
ENVELOPES = ("body", "json", "kserve", "kservev2")
_FIRST_ONLY = ("kserve", "kservev2")
_CURE = 'remove the line: without it {"instances": […]} is read, and KServe\'s path /v1/models/NAME:predict answers'


def service_envelope(settings: ServerSettings) -> Iterator[Problem]:
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
