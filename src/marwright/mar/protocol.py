"""The binary protocol between TorchServe's frontend and its workers, as the frontend speaks it.

All integers are big-endian int32; strings are length and bytes; -1 ends a list (ts/protocol/otf_message_handler.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Read = Callable[[int], bytes]
END = struct.pack("!i", -1)
# More than a worker may send. Where a reader is out of step, letters are taken for a length, which is then larger.
LARGEST = 1 << 28


class OutOfStep(Exception):
    """What a worker sends is not what the protocol has at this place."""


@dataclass(frozen=True)
class Body:
    """One request: a body with its content type, or a field of a form.

    ``headers`` are those of the request, by default what the frontend adds to those of a client that sends none; a
    request over gRPC has none at all.
    """

    value: bytes = b""
    content_type: str = "application/json"
    name: str = "body"
    headers: Mapping[str, str] = field(default_factory=lambda: {"url_path": "", "explain": "False"})


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    body: bytes
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def load_message(model: str, folder: str, handler: str, batch_size: int) -> bytes:
    """Ask a worker to load a model from a folder onto the CPU."""
    no_gpu, envelope, limits_images = struct.pack("!i", -1), _string(""), struct.pack("!?", True)
    parts = [b"L", _string(model), _string(folder), struct.pack("!i", batch_size), _string(handler)]
    return b"".join([*parts, no_gpu, envelope, limits_images])


def predict_message(bodies: Sequence[Body]) -> bytes:
    """Ask a worker to answer a batch."""
    parts = [b"I"]
    for index, body in enumerate(bodies):
        parts.append(_string(f"request-{index}"))
        parts += [_string(text) for header in body.headers.items() for text in header]
        parts += [END, _string(body.name), _string(body.content_type)]
        parts += [struct.pack("!i", len(body.value)), body.value, END]
    return b"".join([*parts, END])


def read_load_answer(read: Read) -> tuple[int, str]:
    """Status and message of a load."""
    code, message = _int(read), _read_string(read)
    read(4)
    return code, message


def read_answers(read: Read) -> list[Answer]:
    """The answers of a batch, in its order.

    Raises:
        OutOfStep: a length is none. A reason phrase of a status that is not ASCII has this effect: the worker counts
            its letters and sends its bytes.
    """
    batch_code, message = _int(read), _read_string(read)
    answers = []
    while (length := _int(read)) != -1:
        read(_checked(length))
        content_type, status, phrase = _read_string(read), _int(read), _read_string(read)
        headers = {_read_string(read): _read_string(read) for _ in range(_length(read))}
        body = read(_length(read))
        if batch_code != 200:
            status, body = batch_code, (message or phrase).encode()
        answers.append(Answer(status, body, content_type, headers))
    return answers


def _string(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("!i", len(data)) + data


def _int(read: Read) -> int:
    value: int = struct.unpack("!i", read(4))[0]
    return value


def _length(read: Read) -> int:
    return _checked(_int(read))


def _checked(length: int) -> int:
    if not 0 <= length <= LARGEST:
        raise OutOfStep
    return length


def _read_string(read: Read) -> str:
    try:
        return read(_length(read)).decode("utf-8")
    except UnicodeDecodeError:
        raise OutOfStep from None
