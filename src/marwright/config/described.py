"""What each setting is, may be and is by default, in plain words; read from the schema, so that it cannot be old."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from marwright.config.schema import Config

Node = dict[str, Any]
"""A part of a JSON schema."""

Location = tuple[str | int, ...]

PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "letters, digits, _ and -, beginning with a letter or a digit",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, _, - and dots, beginning with a letter or a digit",
    r"^\d+(\.\d+)*$": "numbers with dots between, such as 1.0",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits",
}
"""What a text must look like."""

BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}

SECTION = "a section: lines of `key: value`, indented"


@dataclass(frozen=True)
class Setting:
    """One key of a configuration file."""

    key: str
    """With dots."""
    only_with: str | None
    """The choice of its section to which it belongs, such as ``name: table``."""
    wanted: str
    default: Any
    """As YAML has it; none where it may be left out and then is nothing."""
    required: bool
    is_section: bool
    description: str


@cache
def editor_schema() -> Node:
    """The JSON schema of a configuration file (draft 2020-12), as editors read it."""
    found = Config.model_json_schema()
    student = found["properties"]["student"]
    student["oneOf"].append({"type": "null"})  # `student:` alone means none, too
    _without_titles(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A marwright configuration", **found}


def settings() -> list[Setting]:
    """Every setting, in the order of the file; of a section with choices, the keys of all of them."""
    return list(_settings(editor_schema(), "", None))


def forms_at(location: Location) -> list[Node]:
    """The alternatives that a place may hold; none if there is no such place."""
    return [form for node in _at(location) for form in _forms(node)]


def forms_of_items(forms: Iterable[Node]) -> list[Node]:
    """What the lists among some alternatives hold."""
    return [item for form in forms if "items" in form for item in _forms(form["items"])]


def wanted_at(location: Location) -> str:
    """What a place must hold, in plain words; a section if there is no such place."""
    nodes = _at(location)
    return in_words({"anyOf": nodes}) if nodes else SECTION


def in_words(node: Node) -> str:
    """What a value must be: ``a whole number from 1 to 512``."""
    forms = [form for form in _forms(node) if form.get("type") != "null"]
    return _either(dict.fromkeys(map(_form_in_words, forms)))


def _form_in_words(form: Node) -> str:
    kind = form.get("type")
    if only := _words(form):
        words = _either(only)
    elif kind in ("integer", "number"):
        words = f"a {'whole ' if kind == 'integer' else ''}number{_bounds(form)}"
    elif kind == "array":
        words = f"a list, each of it {in_words(form['items'])}" + (", at least one" if form.get("minItems") else "")
    elif kind == "string":
        words = PATTERNS.get(form.get("pattern", ""), "a path" if form.get("format") == "path" else "text")
    else:
        words = {"object": SECTION, "boolean": "true or false"}.get(str(kind), "anything")
    return words


def choices(location: Location) -> list[str]:
    """The words that a place may hold, where there are only some."""
    return [word for form in forms_at(location) for word in _words(form)]


def keys(location: Location) -> list[str]:
    """The keys that a section may hold; of one with choices, those of all of them."""
    return [key for form in forms_at(location) for key in form.get("properties", ())]


def _words(form: Node) -> list[str]:
    return [str(word) for word in form.get("enum", [form["const"]] if "const" in form else [])]


def _at(location: Location) -> list[Node]:
    nodes = [editor_schema()]
    for part in location:
        nodes = [found for node in nodes for found in _inside(node, part)]
    return nodes


def _settings(node: Node, prefix: str, only_with: str | None) -> Iterator[Setting]:
    required = node.get("required", [])
    for name, each in node["properties"].items():
        if "const" in each and only_with is not None:
            continue  # the choice itself, which stands before its keys
        key = f"{prefix}{name}"
        forms = _forms(each)
        sections = [form for form in forms if "properties" in form]
        described = each.get("description") or " ".join(form.get("description", "") for form in sections[:1])
        tags = {tag for form in sections if (tag := _tag(form)[0])}
        wanted = in_words(each)
        yield Setting(key, only_with, wanted, each.get("default"), name in required, bool(sections), described)
        if tags:
            (tag,) = tags
            words = [_tag(form)[1] for form in sections]
            described = "; ".join(f"{_tag(form)[1]}: {form['description'].rstrip('.')}" for form in sections)
            yield Setting(f"{key}.{tag}", only_with, _either(words), None, True, False, described)
        for form in sections:
            tag, word = _tag(form)
            yield from _settings(form, f"{key}.", f"{tag}: {word}" if tag else only_with)


def _tag(section: Node) -> tuple[str | None, str]:
    """The key that says which choice a section is, and the word for this one."""
    for name, each in section["properties"].items():
        if "const" in each and name in section.get("required", []):
            return name, each["const"]
    return None, ""


def _inside(node: Node, part: str | int) -> Iterator[Node]:
    for form in _forms(node):
        if isinstance(part, int) and "items" in form:
            yield form["items"]
        elif part in form.get("properties", {}):
            yield form["properties"][part]
        elif "properties" in form and part == _tag(form)[1]:
            yield form  # the choice that was made stands for itself
        elif isinstance(part, str):
            # Of names that the user gives, the form is the same for all.
            yield from form.get("patternProperties", {}).values()
            if isinstance(form.get("additionalProperties"), dict):
                yield form["additionalProperties"]


def _forms(node: Node) -> list[Node]:
    """A node without references, and each of its alternatives."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _forms(editor_schema()["$defs"][name])
    parts = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    return [form for part in parts for form in _forms(part)] if parts else [node]


def _bounds(node: Node) -> str:
    if "minimum" in node and "maximum" in node:
        return f" from {node['minimum']:g} to {node['maximum']:g}"
    found = [f" {words} {node[bound]:g}" for bound, words in BOUNDS.items() if bound in node]
    return " and".join(found)


def _either(words: Iterable[str]) -> str:
    """Alternatives as a person lists them; at least one."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _without_titles(node: Any) -> None:
    """Take out pydantic's titles, which only repeat the keys; a key may be called title."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for value in node.values():
            _without_titles(value)
    elif isinstance(node, list):
        for value in node:
            _without_titles(value)
