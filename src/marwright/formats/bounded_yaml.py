"""Reads YAML of strangers: a few lines of it can stand for more than a memory holds, or take hours to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

LARGEST_BYTES = 128 << 10
MOST_VALUES = 50_000
LONGEST_NUMBER = 100


def parsed(text: str, load: Callable[[str], Any] = yaml.safe_load) -> tuple[yaml.Node | None, Any]:
    """Parse a document of settings.

    Returns:
        its nodes, with their lines, and its value.

    Raises:
        YAMLError: it is not YAML of plain values, or is larger than any settings are, aliases and merges written out.
    """
    if len(text) > LARGEST_BYTES:
        raise yaml.YAMLError(f"longer than {LARGEST_BYTES >> 10} KB")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES:,} values, with its aliases written out")
        # Again from the text: constructing a value changes the nodes that it merges.
        return node, load(text)
    except (ValueError, OverflowError, LookupError, AttributeError) as error:
        raise yaml.YAMLError(f"a value that is none: {error}") from error
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values there are if each alias is replaced by what it stands for."""
    if id(node) in known:
        return known[id(node)]
    # Until it is counted, a node that holds itself has no end.
    known[id(node)] = MOST_VALUES + 1
    if isinstance(node, yaml.MappingNode):
        count = 1 + sum(_values(key, known) + _values(value, known) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count = 1 + sum(_values(value, known) for value in node.value)
    else:
        count = 1
        if node.tag.endswith((":int", ":float")) and len(node.value) > LONGEST_NUMBER:
            raise yaml.YAMLError(f"a number of more than {LONGEST_NUMBER} digits")
    known[id(node)] = count
    return count
