"""Other versions of a built archive, packed as the build packs: each can be told from the others by its answers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from marwright.files import stable_json
from marwright.mar import layout
from marwright.mar.writing import Contents, Manifest, pack


def version_of(
    archive: Path,
    file: Path,
    version: str,
    *,
    turn: int = 0,
    methods: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Pack an archive anew.

    Args:
        archive: one of marwright's.
        file: the new one.
        version: of the model in it.
        turn: how many places the names of the labels are moved on, in its answers and in its recorded answers.
        methods: source of methods that its handler has instead of its own; none if empty.
        settings: of its ``model-config.yaml``, beside or instead of its own.
    """
    contents = Contents()
    with zipfile.ZipFile(archive) as old:
        files = {name: old.read(name) for name in old.namelist()}
    model = json.loads(files.pop(layout.MANIFEST))["model"]
    del files[layout.HASHES]
    labels: dict[str, str] = json.loads(files[layout.LABELS])
    names = list(labels.values())
    moved = {name: names[(at + turn) % len(names)] for at, name in enumerate(names)}
    files[layout.LABELS] = json.dumps({number: moved[name] for number, name in labels.items()}).encode()
    golden: list[dict[str, Any]] = json.loads(files[layout.GOLDEN])
    for request in golden:
        request["answer"] = [one | {"label": moved[one["label"]]} for one in request["answer"]]
    files[layout.GOLDEN] = stable_json(golden).encode()
    files[layout.MODEL_CONFIG] = yaml.safe_dump(
        yaml.safe_load(files[layout.MODEL_CONFIG]) | dict(settings or {})
    ).encode()
    if methods:
        files["own_handler.py"] = files[layout.HANDLER]
        head = "from own_handler import TextClassificationHandler\n\n\nclass Changed(TextClassificationHandler):\n"
        files[layout.HANDLER] = (head + methods).encode()
    for name, data in files.items():
        contents.add(name, data)
    file.parent.mkdir(parents=True, exist_ok=True)
    pack(contents, file, Manifest(name=model["modelName"], version=version, handler=model["handler"]))
    return file
