"""The report: a page that needs nothing from elsewhere, and shows what was planted."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run

from marwright.config import Config, SelectConfig
from marwright.exploration.candidates import Candidate
from marwright.exploration.explore import Exploration
from marwright.exploration.rows import Latency, Row, split_figures
from marwright.exploration.selecting import select
from marwright.files import read_json, stable_json, write_text
from marwright.report.contents import details_of
from marwright.report.writing import write_report
from marwright.workspace import Findings, Run

NASTY = "<script>alert('$x$')</script> & co"
HISTORY = [
    {"epoch": at, "train_loss": 1 / at, "validation_loss": 1.1 / at, "accuracy": 0.5 + at / 10, "macro_f1": 0.5}
    for at in (1, 2, 3)
]


class Page(HTMLParser):
    """What a page has: elements, texts of headings, and every address it would fetch something from."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.drawings = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings[-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with planted answers: 60 test rows, of which the candidate gets 45 right and the teacher 50."""
    run = tiny_run.trained(tmp_path_factory.mktemp("report") / "runs" / "goods")
    write_text(run.data.labels, stable_json([*tiny_run.LABELS[:4], NASTY]))
    card = read_json(run.data.card) | {"rows": {"train": 60, "validation": 60, "test": 60}}
    card |= {"tokens": {"p50": 8, "p99": 20, "p100": 21, "cut_share": 0.0}, "labels_without_test_rows": []}
    write_text(run.data.card, stable_json(card))
    for model in (run.teacher, run.student):
        model.root.mkdir(exist_ok=True)
        write_text(model.history, stable_json(HISTORY))
    write_text(run.exported.card, stable_json({"confidence": {"temperature": 1.0}}))
    right = np.arange(60) % 5
    for split in ("validation", "test"):
        np.save(run.teacher.logits(split), logits(right, wrong=10))
        np.save(run.exported.logits(split), logits(right, wrong=15))
    return run


def logits(right: np.ndarray, wrong: int) -> np.ndarray:  # type: ignore[type-arg]
    """Logits of a classifier that takes the first rows for the label after the right one."""
    given = np.where(np.arange(len(right)) < wrong, (right + 1) % 5, right)
    return 3 * np.eye(5, dtype=np.float32)[given]


def exploration(run: Run, rows: tuple[Row, ...], folder: Path) -> Exploration:
    settings: dict[str, Any] = {
        "name": "goods",
        "runs": run.root.parent,
        "data": {"source": {"name": "table", "path": "goods.csv"}},
    }
    settings["select"] = {"max_accuracy_drop": 0.1}
    config = Config.model_validate(settings)
    candidates = tuple(Candidate(row.name, {}, config, run) for row in rows)
    return Exploration(config, candidates, rows, select(rows, SelectConfig(max_accuracy_drop=0.1)), Findings(folder))


def measured(run: Run, name: str, ms: float) -> Row:
    right = np.arange(60) % 5
    test = split_figures(np.load(run.exported.logits("test")), np.load(run.teacher.logits("test")), right)
    return Row(name, "as planted", None, test, test, Latency(ms, 2 * ms, 9 * ms, 12 * ms), 18_400_000, None, 0.8)


@pytest.fixture(scope="module")
def explored(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    failed = Row("no-luck", "compression.activations: static", failure="this processor has no VNNI <instructions>")
    found = exploration(
        run, (measured(run, "swift", 0.7), failed, measured(run, "slow", 3.5)), tmp_path_factory.mktemp("page")
    )
    write_report(found)
    return found


def test_the_page_is_whole_and_fetches_nothing(explored: Exploration) -> None:
    text = explored.findings.report.read_text(encoding="utf-8")
    page = Page(text)

    assert page.open == [], "every element is closed"
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert not re.findall(r"https?:|url\((?!#)|@import", text)


def test_the_page_has_every_section_and_picture(explored: Exploration) -> None:
    page = Page(explored.findings.report.read_text(encoding="utf-8"))

    assert page.headings == [
        "goods",
        "swift",
        "Candidates",
        "Accuracy against latency",
        "Where swift errs",
        "Each label",
        "How far its confidence can be trusted",
        "Where it and the teacher disagree",
        "How it was trained",
        "How long the texts are",
        "Made with",
    ]
    # Front, confusion, reliability, two trainings, lengths.
    assert page.tags.count("svg") == 6


def test_the_page_shows_the_verdict_the_failure_and_the_figures(explored: Exploration) -> None:
    shown = " ".join("".join(Page(explored.findings.report.read_text(encoding="utf-8")).texts).split())

    assert explored.verdict.sentence in shown
    assert "failed: this processor has no VNNI <instructions>" in shown
    for figure in ("75.00 %", "−8.33", "0.70", "1.40", "8.40", "18.4", "3of 12", "On 5 of 60 test rows"):
        assert figure in shown, figure


def test_what_users_wrote_is_text_and_nothing_else(explored: Exploration) -> None:
    page = Page(explored.findings.report.read_text(encoding="utf-8"))

    assert "script" not in page.tags
    assert any(NASTY in text for text in page.texts)


def test_colours_are_those_of_the_page(explored: Exploration) -> None:
    text = explored.findings.report.read_text(encoding="utf-8")
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))

    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) <= {"#000000"}
    assert "var(--ink)" in drawings
    assert "DejaVu" not in drawings


def test_the_same_numbers_are_there_for_programs(explored: Exploration) -> None:
    numbers = json.loads(explored.findings.numbers.read_text(encoding="utf-8"))

    swift, failed, _ = numbers["candidates"]
    assert swift["test"]["accuracy"] == 0.75
    assert swift["test"]["drop"] == 5 / 60
    assert failed["failure"].startswith("this processor")
    assert numbers["verdict"]["winner"] == "swift"
    assert np.trace(np.asarray(numbers["shown"]["confusion"])) == 45
    assert sum(numbers["shown"]["tokens"]["texts_by_length"]) == 180
    assert numbers["environment"]["torch"]


def test_a_report_on_one_run_has_no_comparison(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "goods", 0.7),), tmp_path)
    write_report(found)
    page = Page(found.findings.report.read_text(encoding="utf-8"))

    assert "Accuracy against latency" not in page.headings
    assert "The promise is kept" in page.headings
    assert "Figures" in page.headings


def test_if_every_candidate_failed_the_page_says_why(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (Row("a", "", failure="no memory"), Row("b", "", failure="no luck")), tmp_path)
    write_report(found)
    shown = found.findings.report.read_text(encoding="utf-8")

    assert "no memory" in shown
    assert "no luck" in shown
    assert read_json(found.findings.numbers)["shown"] is None


# --- details -----------------------------------------------------------------------------------------------------


def test_mistakes_are_counted_by_pair_and_by_label(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "goods", 0.7),), tmp_path)
    details = details_of(found.candidates[0], found)

    assert details.confusion.sum() == 60
    assert details.confusion[0, 1] == 3, "of the first 15 rows three are tea, and taken for coffee"
    assert {(pair.right, pair.answered) for pair in details.worst_pairs} >= {("tea", "coffee"), (NASTY, "tea")}
    tea = next(each for each in details.per_label if each.label == "tea")
    assert (tea.precision, tea.recall, tea.rows) == (9 / 12, 9 / 12, 12)
    assert [each.f1 for each in details.per_label] == sorted(each.f1 for each in details.per_label)


def test_disagreements_are_those_with_the_teacher(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "goods", 0.7),), tmp_path)
    details = details_of(found.candidates[0], found)

    assert details.disagreeing == len(details.examples) == 5
    assert all(each.teacher == each.right != each.candidate for each in details.examples)
