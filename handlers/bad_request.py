"""What a client is told of its mistake."""

from __future__ import annotations


class BadRequest(Exception):
    """The client's mistake; its message is the answer, in ASCII and without the text."""

    code = 400
    phrase = "Bad Request"
    kind = "BadRequest"


class BadCall(BadRequest):
    """A mistake in a call of the Open Inference Protocol, which has a form of its own for errors."""


class NotOffered(BadRequest):
    """The request may be well made, but asks for what this handler does not do."""

    code = 501
    phrase = "Not Implemented"
    kind = "NotImplemented"
