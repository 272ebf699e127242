"""What TorchServe tells of a request beside its body: where it came in, and what kind of answer it is for.

The headers of a request and the content types of its parameters lie in one dictionary: a header is a string, a
parameter has a dictionary of its own.
"""

from __future__ import annotations

from typing import Any


def is_grpc(context: Any, index: int) -> bool:
    """Whether a request came over gRPC, of which no headers are handed on; over HTTP there are always some.

    A client may send none, but the frontend then adds its own. `Predictions` and `StreamPredictions` look the same
    from here.
    """
    return not any(isinstance(value, str) for value in context.get_all_request_header(index).values())


def wants_explanation(context: Any, index: int) -> bool:
    """Whether a request was sent to `/explanations/NAME`, or to where KServe has it."""
    return bool(context.get_request_header(index, "explain") == "True")


def wants_description(context: Any, index: int) -> bool:
    """Whether this is no request of a client but a part of `GET /models/NAME?customized=true`."""
    return bool(context.get_request_header(index, "describe") == "True")


def content_type(context: Any, index: int, parameter: str) -> str:
    """The content type of a parameter, in small letters; empty if the client gave none.

    That of a body without its charset, as TorchServe cuts it, stands beside it, and all of it in the headers.
    """
    headers = context.get_all_request_header(index)
    if parameter == "body":
        for name, value in headers.items():
            if isinstance(value, str) and name.lower() == "content-type":
                return value.lower()
    about = headers.get(parameter)
    return (about.get("content-type") or "").lower() if isinstance(about, dict) else ""
