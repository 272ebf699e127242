"""Talks to TorchServe's management address, with the key where one is asked for."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from marwright.errors import ServerError

# A proxy of the environment is not meant for this machine's own addresses.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def key_header(key_file: Path | None, kind: Literal["management", "inference"]) -> dict[str, str]:
    """The header with the key of one kind; empty where no key is asked for.

    The file is read anew each time, since TorchServe writes it again when a key is renewed.

    Raises:
        ServerError: the file cannot be read or has no such key. The key itself is never in the message.
    """
    if key_file is None:
        return {}
    try:
        keys = json.loads(key_file.read_text(encoding="utf-8"))
        return {"Authorization": f"Bearer {keys[kind]['key']}"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{key_file}: no {kind} key can be read from it ({type(error).__name__}); TorchServe writes this file."
        ) from error


@dataclass(frozen=True)
class Management:
    """The management address of a server: ``url`` without a slash at its end, and the file with its keys."""

    url: str
    key_file: Path | None = None

    def ask(self, method: str, path: str, *, timeout_s: float = 10) -> tuple[int, Any]:
        """Send a request without a body.

        Returns:
            The HTTP status, and the JSON of the answer, whatever the status is.

        Raises:
            ServerError: nothing answers with JSON there within ``timeout_s`` seconds, or there is no key.
        """
        headers = key_header(self.key_file, "management")
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            try:
                with _OPENER.open(request, timeout=timeout_s) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as refusal:
                return refusal.code, json.load(refusal)
        except (OSError, ValueError) as error:
            raise ServerError(
                f"TorchServe's management address {self.url} does not answer as it should: {error}. "
                f"Is the server running?"
            ) from error
