"""What is wrong with a setting, as one plain sentence: its place, its key, what it must be, and what was given."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from marwright.config.described import Location, choices, in_words, keys, settings, wanted_at

# After the key of a union pydantic puts the branch it chose; the file has no such key.
UNIONS: tuple[Location, ...] = (("data", "source"), ("student",), ("pruning",))
LONGEST = 60
_LONG_WORD = re.compile(rf"[^\s./]{{{LONGEST + 1},}}")


def complaint(problem: Any, path: str, places: Mapping[Location, str]) -> str:
    """The sentence.

    Args:
        problem: one of pydantic's ``errors()``.
        path: of the file.
        places: where each key stands, such as ``model.yaml:5``.
    """
    location: Location = tuple(part for part in problem["loc"] if part != "[key]")
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        location = (*location, problem["ctx"]["discriminator"].strip("'"))
    with_choices = location
    for union in () if problem["type"].startswith("union_tag") else UNIONS:
        if location[: len(union)] == union:
            location = union + location[len(union) + 1 :]
    if location[0:1] == ("student",):
        with_choices = location  # its two forms have no names in the schema
    given = problem["input"]
    if problem["type"] == "union_tag_invalid":
        given = given[location[-1]] if isinstance(given, dict) else given
    known = (location[:end] for end in range(len(location), 0, -1))
    where = next((places[at] for at in known if at in places), path)
    key = ".".join(map(str, location))
    # A key or a name that is repeated may be as long as its author liked.
    said = _LONG_WORD.sub(
        lambda word: f"{word[0][: LONGEST - 1]}…", f"{key}: {_what(problem, location, with_choices, given)}"
    )
    return f"{where}: {said}".replace(": : ", ": ")


def _what(problem: Any, location: Location, with_choices: Location, given: object) -> str:
    kind = problem["type"]
    if kind in ("extra_forbidden", "invalid_key"):
        said = f"unknown key{_nearest_key(location)}"
    elif kind in ("missing", "union_tag_not_found"):
        said = "required, but not given"
    elif kind == "value_error":
        said = problem["msg"].removeprefix("Value error, ")
        # What is said of several settings together repeats none of them.
        said += "" if isinstance(given, dict | list) else f" (given: {shown(given)})"
    elif problem["loc"][-1:] == ("[key]",):
        said = f"the name must be {in_words({'type': 'string', **problem['ctx']})}"
    elif given is None:
        required = any(each.key == ".".join(map(str, location)) and each.required for each in settings())
        said = f"nothing is given; write {wanted_at(with_choices)}" + ("" if required else ", or leave the key out")
    else:
        said = f"must be {wanted_at(with_choices)} (given: {shown(given)}){_nearest_word(with_choices, given)}"
    return said


def shown(value: object) -> str:
    """A value as its author will know it again; a long one is cut."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value) if isinstance(value, str | int | float) else repr(str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _nearest_word(location: Location, given: object) -> str:
    nearest = difflib.get_close_matches(str(given)[:64], choices(location), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _nearest_key(location: Location) -> str:
    last = str(location[-1])
    nearest = difflib.get_close_matches(last[:64], keys(location[:-1]), n=1)
    if nearest == [last]:
        return ": it belongs to another choice of this section"
    if nearest:
        return f"; did you mean {nearest[0]}?"
    elsewhere = dict.fromkeys(each.key for each in settings() if each.key.rpartition(".")[2] == last)
    return f"; there is {' and '.join(list(elsewhere)[:3])}" if elsewhere else ""
