"""Reads a configuration file and reports everything wrong with it at once, with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from marwright.config.as_written import parse, settle
from marwright.config.complaints import complaint
from marwright.config.described import Location
from marwright.config.overriding import set_value, variant
from marwright.config.schema import Config
from marwright.errors import ConfigError
from marwright.formats import bounded_yaml
from marwright.resources import shipped

# Problems of one file; each unknown key is compared with all that are known.
MOST_SHOWN = 50


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Args:
        name: a YAML file, or the name of a configuration that comes with marwright (``customs``).
        overrides: ``dotted.key=value`` strings; values are YAML.

    Raises:
        ConfigError: the file is missing or not YAML, or any setting is unknown or out of bounds.
    """
    path = _find(name)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(bounded_yaml.LARGEST_BYTES + 1)
        node, tree = bounded_yaml.parsed(text, parse)
        settings, lines = _settled(tree), list(_lines(node))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{path}: expected settings as `key: value`; start from {shipped('configs') / 'customs.yaml'}"
        )
    places: dict[Location, str] = {}
    for location, line in lines:
        if location in places:
            raise ConfigError(f"{path}:{line}: {'.'.join(map(str, location))}: given before, at {places[location]}")
        places[location] = f"{path}:{line}"
    for override in overrides:
        location = _override(settings, override)
        places = {at: place for at, place in places.items() if at[: len(location)] != location}
        places[location] = f"--set {override}"
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        problems = [complaint(problem, str(path), places) for problem in error.errors()[:MOST_SHOWN]]
        raise ConfigError("\n".join(problems)) from None
    if problems := list(_wrong_candidates(config, str(path), places)):
        raise ConfigError("\n".join(problems))
    return config


def _wrong_candidates(config: Config, path: str, places: dict[Location, str]) -> Iterator[str]:
    """Say what is wrong with candidates now, and not after hours of training the first ones."""
    for name, overrides in (config.explore.candidates if config.explore else {}).items():
        here: Location = ("explore", "candidates", name)
        where = places.get(here, path)
        own: dict[Location, str] = {tuple(key.split(".")): places.get((*here, key), where) for key in overrides}
        try:
            variant(config, overrides)
        except ConfigError as error:
            yield f"{where}: explore.candidates.{name}: {error}"
        except ValidationError as error:
            for problem in error.errors():
                place, _, rest = complaint(problem, where, own).partition(": ")
                yield f"{place}: explore.candidates.{name}: {rest}"


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    # A name or a path such as configs/customs.yaml, used outside a checkout, means the copy that was installed.
    for candidate in (shipped("configs") / path.name, shipped("configs") / f"{path.name}.yaml"):
        if path.parent.name in ("", "configs") and candidate.is_file():
            return candidate
    known = ", ".join(shipped_names())
    raise ConfigError(f"{path}: no such configuration file. Give a path, or one of the shipped: {known}.")


def shipped_names() -> list[str]:
    return sorted(file.stem for file in shipped("configs").glob("*.yaml") if file.stem != "metrics")


def _settled(tree: Any) -> Any:
    """What YAML gave, with text where settings are text; a candidate's settings are those of their dotted keys."""
    explore = tree.get("explore") if isinstance(tree, dict) else None
    candidates = explore.get("candidates") if isinstance(explore, dict) else None
    for overrides in candidates.values() if isinstance(candidates, dict) else ():
        if isinstance(overrides, dict):
            overrides |= {key: settle(value, tuple(str(key).split("."))) for key, value in overrides.items()}
    return settle(tree)


def _override(settings: dict[str, Any], override: str) -> Location:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as dotted.key=value, for example --set teacher.epochs=3")
    try:
        parsed = bounded_yaml.parsed(value, parse)[1]
    except yaml.YAMLError:
        parsed = value
    try:
        return set_value(settings, key, settle(parsed, tuple(key.split("."))))
    except ConfigError as error:
        raise ConfigError(f"--set {override}: {error}") from None


def _lines(node: yaml.Node | None, location: Location = ()) -> Iterator[tuple[Location, int]]:
    """Yield the location and 1-based line of every key in a YAML document."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*location, key.value)
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1
            yield from _lines(value, (*location, index))
