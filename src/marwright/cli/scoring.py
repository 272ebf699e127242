"""``marwright score``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from marwright.cli.options import ArchiveArgument, JsonOption, option, print_json
from marwright.console.progress import say


def score(
    archive: ArchiveArgument,
    inputs: Annotated[
        list[str], option("GLOB", "csv, tsv, jsonl, parquet, or a folder of datasets. May be repeated.", "--input")
    ],
    output: Annotated[str, option("FOLDER", "Where the parts go; a job that lies there goes on.")],
    text: Annotated[str, option("COLUMN[,…]", "The column with the texts, or the fields of one.")] = "text",
    engine: Annotated[str, option("local|ray", "This machine, or a Ray cluster.")] = "local",
    address: Annotated[str | None, option("ADDRESS", "Of the Ray cluster; auto for the one of this machine.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes [one per core].", show_default=False)] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Labels per row; the archive's own number.")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Less sure, and the row gets no label.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts that are computed at once.")] = 16,
    prefix: Annotated[str, option("PREFIX", "Of the names of the added columns.")] = "",
    format: Annotated[str, option("parquet|csv|jsonl", "Of the parts.")] = "parquet",
    device: Annotated[str, option("DEVICE", "Of PyTorch, such as cuda.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Score tables of any size; a row that cannot be scored gets an error, and stops no other.

    Paths may be URLs that fsspec opens. Killed, the same command goes on.

    Example: marwright score model_store/pt_classifier.mar --input 'titles/*.parquet' --text title --output scored
    """
    from marwright.fleet.scoring import score as scored

    found = scored(
        archive,
        inputs,
        output,
        text=[name.strip() for name in text.split(",")],
        engine=engine,
        address=address,
        workers=workers,
        top_k=top_k,
        min_confidence=min_confidence,
        batch_size=batch_size,
        prefix=prefix,
        format=format,
        device=device,
    )
    if as_json:
        print_json(asdict(found))
        return
    rate = f"{found.scored:,} rows in {found.seconds:,.0f} s" if found.scored else "nothing was left to do"
    errors = f"; {found.errors:,} of them have an error instead of a label" if found.errors else ""
    say(f"{found.output}: {found.rows:,} rows; {rate}{errors}")
