"""Measures a served model: sends it real texts, at an even rate or from a number of clients, and times the answers."""

from __future__ import annotations

from marwright.bench.measuring import measure
from marwright.bench.private_server import serving_archive
from marwright.bench.result import Result
from marwright.bench.schedule import Load
from marwright.bench.texts import texts_of_archive, texts_of_file, texts_of_run

__all__ = ["Load", "Result", "measure", "serving_archive", "texts_of_archive", "texts_of_file", "texts_of_run"]
