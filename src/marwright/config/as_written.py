"""YAML values as their author wrote them: a column called ``on``, ``0`` or ``2024-01-01`` keeps its name.

YAML 1.1 reads plain ``on`` as true, ``2.0`` as a number and ``2024-01-01`` as a date. Where a setting is text, its
characters are what was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import yaml

from marwright.config.described import Location, Node, forms_at, forms_of_items

_JSON_TYPES = {NoneType: {"null"}, bool: {"boolean"}, int: {"integer", "number"}, float: {"number"}}


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


def settle(tree: Any, location: Location = ()) -> Any:
    """Replace every :class:`Plain` of a tree by its text where a configuration wants text there, else by its value."""
    if isinstance(tree, dict):
        return {key: settle(value, (*location, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [settle(value, (*location, at)) for at, value in enumerate(tree)]
    return _scalar(tree, forms_at(location)) if isinstance(tree, Plain) else tree


def _scalar(scalar: Plain, forms: list[Node]) -> Any:
    forms = [*forms, *forms_of_items(forms)]
    kinds = {form.get("type") for form in forms}
    if kinds & _JSON_TYPES.get(type(scalar.value), set()):
        return scalar.value
    if isinstance(scalar.value, bool) and kinds:
        return scalar.text  # which is no number either, while true would count as 1
    if "string" not in kinds or scalar.text in ("", "~"):
        return scalar.value  # nothing written, and ~, name nothing
    # The word null is a name where there has to be one, and no choice.
    any_text = any(form.get("type") == "string" and not {"enum", "const"} & form.keys() for form in forms)
    return scalar.text if any_text or scalar.value is not None else None
