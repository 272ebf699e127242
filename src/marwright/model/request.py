"""A request as a server receives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """The body of a request with its content type, or the fields of a form."""

    body: bytes | str | dict[str, Any] | None = None
    """Bytes as they came, a text, or JSON that is parsed already; None for a form."""
    content_type: str = ""
    """The whole header; of a form, what the field ``data`` says it is. Empty if the client gave none."""
    fields: Mapping[str, bytes | str] = field(default_factory=dict)
    """Of a form; and what stands in the URL of ``/invocations``."""

    def named(self) -> dict[str, Any]:
        """All of it by name, as TorchServe hands it to a handler."""
        return dict(self.fields) if self.body is None else {**self.fields, "body": self.body}
