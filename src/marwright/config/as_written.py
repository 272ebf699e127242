"""YAML values as their author wrote them: a column called ``on``, ``0`` or ``2024-01-01`` keeps its name.

YAML 1.1 reads plain ``on`` as true, ``2.0`` as a number and ``2024-01-01`` as a date. Where a setting is text, its
characters are what was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Plain:
    """A scalar that YAML takes for something other than text: what it takes it for, and its characters."""

    value: Any
    text: str


class _Loader(yaml.SafeLoader):
    """Gives :class:`Plain` for such scalars, and every key as it is written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)  # merge keys
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _plain(kind: str) -> Callable[[_Loader, yaml.ScalarNode], object]:
    read = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")

    def construct(loader: _Loader, node: yaml.ScalarNode) -> object:
        try:
            return Plain(read(loader, node), node.value)
        except (ValueError, LookupError, AttributeError):
            if not _is_tagged(loader, node):
                return node.value  # 2024-13-01 looks like a date and is not one
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r} is tagged as {kind} and is none", node.start_mark
            ) from None

    return construct


def _is_tagged(loader: _Loader, node: yaml.ScalarNode) -> bool:
    """Whether the author wrote the type, as in ``!!bool``; else the characters have it."""
    plain: str = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
    return bool(node.style) or plain != node.tag


for _kind in ("bool", "int", "float", "null", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _plain(_kind))
for _kind in ("value", "merge"):  # plain = and <<
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", lambda loader, node: node.value)


def parse(text: str) -> Any:
    """Parse YAML; scalars that are not text become :class:`Plain`.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, Loader=_Loader)


def settle(tree: Any, *annotations: Any) -> Any:
    """Replace every :class:`Plain` of a tree by its text where one of these types wants text, else by its value."""
    leaves = [leaf for annotation in annotations for leaf in _leaves(annotation)]
    if isinstance(tree, dict):
        return {key: settle(value, *_of_key(leaves, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [settle(value, *leaves) for value in tree]
    return _scalar(tree, leaves) if isinstance(tree, Plain) else tree


def types_at(model: type[BaseModel], key: str) -> list[Any]:
    """The types that the setting with a dotted key may have."""
    found: list[Any] = [model]
    for part in key.split("."):
        found = _of_key([leaf for annotation in found for leaf in _leaves(annotation)], part)
    return found


def _scalar(scalar: Plain, leaves: list[Any]) -> Any:
    if any(_takes(leaf, scalar.value) for leaf in leaves):
        return scalar.value
    if isinstance(scalar.value, bool) and leaves:
        return scalar.text  # which is no number either, while true would count as 1
    # Nothing written, and ~, name nothing; the word null is a name where there has to be one.
    if any(leaf in (str, Path) for leaf in leaves) and scalar.text not in ("", "~"):
        return scalar.text
    return scalar.text if scalar.value is not None and any(isinstance(leaf, str) for leaf in leaves) else scalar.value


def _takes(leaf: Any, value: Any) -> bool:
    if leaf is Any:
        return True
    if value is None:
        return leaf is NoneType
    if isinstance(value, bool):
        return leaf is bool
    return leaf is type(value) or (leaf is float and isinstance(value, int))


def _leaves(annotation: Any) -> list[Any]:
    """The types of a value, or of a list's items; the strings of a ``Literal`` stand for themselves."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _leaves(arguments[0])
    if origin is Literal:
        return list(arguments)
    if origin in (Union, UnionType, tuple, list, set, frozenset):
        return [leaf for argument in arguments for leaf in _leaves(argument)]
    return [annotation]


def _of_key(leaves: list[Any], key: object) -> list[Any]:
    found = []
    for leaf in leaves:
        if isinstance(leaf, type) and issubclass(leaf, BaseModel) and key in leaf.model_fields:
            found.append(leaf.model_fields[str(key)].annotation)
        elif get_origin(leaf) in (dict, Mapping):
            found.append(get_args(leaf)[1])
    return found
