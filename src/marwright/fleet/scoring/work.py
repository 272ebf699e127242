"""What a worker does, whoever runs it: read a block, answer its texts, write its part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from marwright.errors import ArchiveError, RequestError
from marwright.files import sha256_of
from marwright.fleet.scoring.arrow_tables import forwards
from marwright.fleet.scoring.blocks import Block
from marwright.fleet.scoring.columns import texts_of
from marwright.fleet.scoring.json_tables import json_rows
from marwright.fleet.scoring.parts import encoded
from marwright.fleet.scoring.storage import Folder, has_changed, opened, reading
from marwright.fleet.scoring.text_tables import Rows, read_bytes, separated_rows
from marwright.mar.abstention import abstains, probabilities_in

ADDED = ("label", "probability", "predictions", "abstained", "error")


@dataclass(frozen=True)
class Done:
    """A part that is written."""

    name: str
    rows: int
    errors: int
    """Rows without an answer."""


@dataclass(frozen=True)
class Work:
    """Scores blocks; all that a worker needs for it."""

    archive: str
    sha256: str
    """Of the archive."""
    output: str
    texts: tuple[str, ...]
    columns: tuple[str, ...]
    """Of the input, in the order in which they are written."""
    top_k: int | None
    min_confidence: float | None
    batch_size: int
    prefix: str
    format: str
    device: str

    def __call__(self, block: Block) -> Done:
        """Write the part of a block.

        Raises:
            MarwrightError: the input cannot be read any more, the output cannot be written, or the archive cannot run.
        """
        with reading(block.source.place):
            rows = self._read(block)
        if rows.table.num_rows != block.span.rows:
            raise has_changed(block.source.place)
        found = _answers(_model(self), self, rows)
        table = rows.table.select(list(self.columns))
        for name, column in _added(found).items():
            table = table.append_column(self.prefix + name, column)
        Folder(self.output).write(f"{block.name}.{self.format}", encoded(table, self.format))
        return Done(block.name, block.span.rows, sum(isinstance(one, RequestError) for one in found))

    def _read(self, block: Block) -> Rows:
        source = block.source
        if source.kind in (".csv", ".tsv", ".jsonl"):
            system, path = opened(source.place)
            with system.open(path, "rb") as stream:
                data = read_bytes(stream, block.span)
            rows_of = json_rows if source.kind == ".jsonl" else separated_rows
            return rows_of(data, source, self.texts)
        return Rows(forwards(source).take(block.span))


@cache
def _model(work: Work) -> Any:
    """The archive, loaded once in this process."""
    from marwright.model import load

    if sha256_of(Path(work.archive)) != work.sha256:
        raise ArchiveError(f"{work.archive}: has changed since the job began. Begin again with another --output.")
    return load(work.archive, work.device, batch_size=work.batch_size)


def forget_model() -> None:
    """Give back what this process has loaded."""
    _model.cache_clear()
    forwards.cache_clear()


def _answers(model: Any, work: Work, rows: Rows) -> list[Any]:
    """For each row what the handler answers, or the error."""
    texts, problems = [], dict(rows.problems)
    for name in work.texts:
        values, damaged = texts_of(rows.table.column(name))
        texts.append(values)
        problems = damaged | problems
    instances: list[Any] = texts[0]
    if len(texts) > 1:
        instances = [dict(zip(work.texts, values, strict=True)) for values in zip(*texts, strict=True)]
    answers: list[Any] = [RequestError(problems.get(at, "")) for at in range(len(instances))]
    places = [at for at in range(len(instances)) if at not in problems]
    try:
        found = model.each([instances[at] for at in places], top_k=work.top_k, min_confidence=work.min_confidence)
    except RequestError as error:
        # A handler that knows no other way than TorchServe's fails as a whole.
        found = [error] * len(places)
    for at, answer in zip(places, found, strict=True):
        answers[at] = answer
    return answers


def _added(answers: Sequence[Any]) -> dict[str, Any]:
    import pyarrow

    prediction = pyarrow.struct([("label", pyarrow.string()), ("probability", pyarrow.float64())])
    types = (pyarrow.string(), pyarrow.float64(), pyarrow.list_(prediction), pyarrow.bool_(), pyarrow.string())
    columns = zip(*map(_values, answers), strict=True)
    return {name: pyarrow.array(column, kind) for name, column, kind in zip(ADDED, columns, types, strict=True)}


def _values(answer: Any) -> tuple[str | None, float | None, list[tuple[str, float]] | None, bool | None, str | None]:
    """What is added to a row for its answer."""
    if isinstance(answer, RequestError):
        return None, None, None, None, str(answer)
    try:
        pairs = list(probabilities_in(answer).items())
        unsure = abstains(answer)
        label, probability = pairs[0]
    except (KeyError, TypeError, ValueError, IndexError):
        return None, None, None, None, "The handler's answer is no labels with probabilities"
    return None if unsure else label, probability, pairs, unsure, None
