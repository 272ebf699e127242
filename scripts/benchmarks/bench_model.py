"""The model alone, on one thread: marwright's int8 module beside ONNX Runtime and OpenVINO with the same weights.

    make bench-model
    python scripts/benchmarks/bench_model.py --run runs/pt_classifier --texts titles.csv

All runtimes are called in turn, again and again; medians are compared. The same run times the int8 matrix products of
the model's own shapes alone. Writes model.md and model.json.
"""

from __future__ import annotations

import csv
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from tokenizers import Tokenizer

from compare.engines import CALIBRATION_TEXTS, Array, Engine, marwright_engines, onnx_engines, openvino_engines
from compare.figures import Figure, as_json
from compare.machine import command, described, machine, versions
from compare.products import Products
from compare.tables import markdown, page
from marwright.console.progress import say, track
from marwright.errors import DataError
from marwright.files import stable_json, write_text
from marwright.metrics.latency import Latencies
from marwright.pretrained.tokenization import pad_id, padded, token_ids
from marwright.workspace import Run
from program import parser_of, telling_errors

PACKAGES = ("marwright", "torch", "transformers", "tokenizers", "numpy", "onnxruntime", "openvino", "nncf")
COMPARED_TEXTS = 500
MIXED = "16 titles"


@dataclass(frozen=True)
class Batch:
    """Padded ids and mask of one shape."""

    name: str
    ids: Array
    mask: Array

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return int(self.mask.sum())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("bench_model", __doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/pt_classifier"), help="a finished run")
    parser.add_argument("--texts", type=Path, help="a csv with a column text; else the run's test split")
    parser.add_argument("--rounds", type=int, default=60, help="calls of each runtime for each shape")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="the folder for the results")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with telling_errors("bench_model"):
        bench(Run(given.run), given.texts, given.rounds, given.output)


def bench(run: Run, file: Path | None, rounds: int, output: Path) -> None:
    """Time the teacher of a run in every runtime."""
    texts = sample(file, run)
    tokenizer = Tokenizer.from_file(str(run.teacher.tokenizer))
    tokenizer.no_padding()
    filler = pad_id(tokenizer)
    rows = token_ids(tokenizer, texts[: COMPARED_TEXTS + CALIBRATION_TEXTS])

    def batch(name: str, chosen: Sequence[Sequence[int]]) -> Batch:
        ids, mask = padded(chosen, filler)
        return Batch(name, ids.numpy(), mask.numpy())

    flat = [token for row in rows for token in row[1:-1]]
    shapes = [
        batch("1×16", [_exactly(16, rows[0], flat)]),
        batch("1×128", [_exactly(128, rows[0], flat)]),
        batch(MIXED, rows[:16]),
        batch("16×128", [_exactly(128, rows[0], flat[at:]) for at in range(16)]),
    ]
    calibration = [batch("", [row]) for row in rows[COMPARED_TEXTS:]]
    with tempfile.TemporaryDirectory(prefix="bench-model-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        say("making the modules")
        rows_to_calibrate = [(each.ids, each.mask) for each in calibration]
        own, encoder = marwright_engines(run.teacher.checkpoint, folder, rows_to_calibrate)
        engines = [*own, *onnx_engines(run.teacher.checkpoint, folder)]
        engines += openvino_engines(folder / "float.onnx", rows_to_calibrate)
        agreement = _agreement(engines, [batch("", [row]) for row in rows[:COMPARED_TEXTS]])
        products = {shape.name: Products(encoder, shape.mask) for shape in shapes}
        times = {shape.name: timed(engines, products[shape.name], shape, rounds) for shape in track(shapes, "shapes")}
    origin = f"the test split of {run.root.name}" if file is None else file.name
    _write(output, run, origin, rounds, engines, shapes, times, products, agreement)


def sample(file: Path | None, run: Run) -> list[str]:
    """The texts, shuffled; always the same ones.

    Raises:
        DataError: the file has no column text, or too few rows.
    """
    if file is None:
        from datasets import load_from_disk

        texts = list(load_from_disk(str(run.data.splits))["test"]["text"])
    else:
        try:
            with file.open(encoding="utf-8", newline="") as opened:
                texts = [row["text"] for row in csv.DictReader(opened)]
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read as a csv with a column text: {error!r}.") from error
    if len(texts) < COMPARED_TEXTS + CALIBRATION_TEXTS:
        raise DataError(f"{file or run.data.splits}: {len(texts)} texts are too few; 800 are needed.")
    random.Random(1).shuffle(texts)
    return texts


def timed(engines: Sequence[Engine], products: Products, batch: Batch, rounds: int) -> dict[str, Figure]:
    """Milliseconds of every runtime, and of the int8 products alone (under the name ``products``), in turn."""
    calls: dict[str, Callable[[], object]] = {
        engine.name: partial(engine.call, batch.ids, batch.mask) for engine in engines
    }
    calls["products"] = products.seconds
    found = {name: Latencies(warm_up=5) for name in calls}  # the first calls compile and allocate
    for _ in range(rounds + 5):
        for name, call in calls.items():
            with found[name].call():
                call()
    # A spread over single calls would show the machine's other work: the middle half of them is compared.
    return {name: Figure(*map(times.percentile, (50, 25, 75))) for name, times in found.items()}


def _exactly(length: int, row: Sequence[int], flat: Sequence[int]) -> list[int]:
    """A text of so many tokens, made of real ones between the row's special tokens."""
    return [row[0], *flat[: length - 2], row[-1]]


def _agreement(engines: Sequence[Engine], batches: Sequence[Batch]) -> dict[str, float]:
    """The share of texts to which each runtime gives the label that ONNX Runtime gives them in float32."""
    best = {
        engine.name: np.array([engine.call(each.ids, each.mask)[0].argmax() for each in batches])
        for engine in track(engines, "the same labels?")
    }
    reference = best["ONNX Runtime, fp32"]
    return {name: float((labels == reference).mean()) for name, labels in best.items()}


def _write(
    output: Path,
    run: Run,
    origin: str,
    rounds: int,
    engines: Sequence[Engine],
    shapes: Sequence[Batch],
    times: dict[str, dict[str, Figure]],
    products: dict[str, Products],
    agreement: dict[str, float],
) -> None:
    own = next(engine.name for engine in engines if engine.own)
    about, installed = machine(), versions(PACKAGES)
    call = command("python scripts/benchmarks/bench_model.py")
    names = list(times)
    head = ["runtime", *(f"{name} ms" for name in names), "same label as fp32"]
    lines = []
    for engine in engines:
        cells = [f"**{engine.name}**" if engine.own else engine.name]
        for name in names:
            median, base = times[name][engine.name].median, times[name][own].median
            cells.append(f"{median:.2f}" if engine.name == own else f"{median:.2f} ({median / base:.2f}×)")
        lines.append([*cells, f"{agreement[engine.name]:.1%}"])
    shares = {name: times[name]["products"].median / times[name][own].median for name in names}
    limits = [
        ["int8 products alone, ms", *(f"{times[name]['products'].median:.2f}" for name in names)],
        ["at GMAC/s", *(f"{_rate(products, times, name, 'products'):.0f}" for name in names)],
        ["marwright at GMAC/s", *(f"{_rate(products, times, name, own):.0f}" for name in names)],
        ["share of marwright's time", *(f"{share:.0%}" for share in shares.values())],
    ]
    mixed = next(shape for shape in shapes if shape.name == MIXED)
    longest = mixed.ids.shape[1]
    paragraphs = [
        f"The teacher of `{run.root.name}`, the same weights in every runtime, one thread each; medians of {rounds} "
        f"calls, the runtimes in turn. In brackets: times as long as marwright's TorchScript module. The 16 titles are "
        f"of {origin} and have {mixed.tokens} tokens; padded to the longest, as the others need them, they take "
        f"16 × {longest} = {16 * longest} places. The last column is the share of {COMPARED_TEXTS} texts.",
        described(about, installed),
        f"```bash\n{call}\n```",
    ]
    sections = {
        "Milliseconds for a batch": markdown(head, lines),
        "What the core can do": (
            "The int8 matrix products of marwright's module alone, with the same shapes and by the same layers "
            "(FBGEMM's below 64 tokens, oneDNN's from there on), timed in the same turns: what is left of a call "
            f"without all else.\n\n{markdown(['', *names], limits)}"
        ),
    }
    write_text(output / "model.md", page("The model alone", paragraphs, sections))
    result: dict[str, Any] = {
        "command": call,
        "machine": about,
        "versions": installed,
        "model": run.root.name,
        "texts": origin,
        "rounds": rounds,
        "ms": as_json(times),
        "tokens": {shape.name: shape.tokens for shape in shapes},
        "padded": {shape.name: int(shape.ids.size) for shape in shapes},
        "gmac": {name: round(each.operations / 1e9, 4) for name, each in products.items()},
        "products": {name: as_json(each.found) for name, each in products.items()},
        "share_of_products": as_json(shares),
        "same_label": as_json(agreement),
    }
    write_text(output / "model.json", stable_json(result))
    say(f"{output / 'model.md'} and model.json are written")


def _rate(products: dict[str, Products], times: dict[str, dict[str, Figure]], shape: str, name: str) -> float:
    """Multiply-adds of the int8 products, in thousands of millions per second of the named time."""
    return products[shape].operations / 1e6 / times[shape][name].median


if __name__ == "__main__":
    main()
