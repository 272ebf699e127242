"""Files of NumPy arrays: whether something in them is unpickled (numpy/lib/_format_impl.py)."""

from __future__ import annotations

import ast
import io
import math
from typing import Any, BinaryIO

from marwright.checks.budget import Budget

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 16


def after_the_array(stream: BinaryIO, budget: Budget) -> BinaryIO | None:
    """What must be looked at as pickles: the values of an array of objects, or what follows the numbers.

    Returns:
        None if the numbers end the stream.

    Raises:
        ValueError: its header cannot be read, or it is cut off.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(len(MAGIC))
    version = stream.read(2)
    width = 2 if version[:1] == b"\x01" else 4
    length = int.from_bytes(stream.read(width), "little")
    if not version or length > _LONGEST_HEADER:
        raise ValueError("an array whose header cannot be read")
    data_length = _bytes_of(stream.read(length).decode("latin-1"))
    start = stream.tell() + (data_length or 0)
    if start == size:
        return None
    if start > size:
        raise ValueError("an array that is cut off")
    stream.seek(start)
    budget.spend(size=size - start)
    return io.BytesIO(stream.read())


def _bytes_of(header: str) -> int | None:
    """How long the numbers are; None if they are objects."""
    import numpy as np

    try:
        described: Any = ast.literal_eval(header.strip())
        kind, shape = described["descr"], tuple(described["shape"])
        dtype = np.dtype([tuple(part) for part in kind] if isinstance(kind, list) else kind)
        return None if dtype.hasobject else math.prod(map(_extent, shape)) * dtype.itemsize
    except (SyntaxError, TypeError, KeyError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError("an array whose header cannot be read") from error


def _extent(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"no extent: {value!r}")
    return value
