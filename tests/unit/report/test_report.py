"""The report: a page that needs nothing from elsewhere, and shows what was planted."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_from_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

import tiny_run
from marwright.config import Config, SelectConfig
from marwright.console.foreign import one_line
from marwright.explore.candidates import Candidate
from marwright.explore.explore import Exploration
from marwright.explore.rows import Latency, Row, split_figures
from marwright.explore.selecting import select
from marwright.files import read_json, stable_json, write_text
from marwright.metrics.confidence import Bin
from marwright.report import figures
from marwright.report.contents import details_of
from marwright.report.figures import confusion_matrix, reliability_diagram
from marwright.report.writing import write_report
from marwright.tasks import SINGLE_LABEL, TASKS
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
    given_settings: dict[str, Any] = {
        "name": "goods",
        "runs": run.root.parent,
        "data": {"source": {"name": "table", "path": "goods.csv"}},
    }
    given_settings["select"] = {"max_accuracy_drop": 0.1}
    config = Config.model_validate(given_settings)
    candidates = tuple(Candidate(row.name, {}, config, run) for row in rows)
    return Exploration(config, candidates, rows, select(rows, SelectConfig(max_accuracy_drop=0.1)), Findings(folder))


def measured(run: Run, name: str, ms: float) -> Row:
    ours, theirs = np.load(run.exported.logits("test")), np.load(run.teacher.logits("test"))
    test = split_figures(TASKS[SINGLE_LABEL], ours, theirs, np.arange(len(ours)) % 5)
    return Row(name, "as planted", None, test, test, Latency(ms, 2 * ms, 9 * ms, 12 * ms), 18_400_000, None, 0.8)


@pytest.fixture(scope="module")
def explored(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    failed = Row("no-luck", "compression.activations: static", failure="this processor has no VNNI <instructions>")
    found = exploration(
        run, (measured(run, "swift", 0.7), failed, measured(run, "slow", 3.5)), tmp_path_factory.mktemp("page")
    )
    write_report(found)
    return found


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures empty: matplotlib takes a second for a page of which only the words are read."""
    monkeypatch.setattr(figures, "svg", lambda *given, **more: "<svg></svg>")


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


@pytest.mark.usefixtures("undrawn")
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


def one_run(run: Run, folder: Path, *, promised: bool) -> Exploration:
    """The report on a single run."""
    found = exploration(run, (measured(run, "goods", 0.7),), folder)
    config = found.config if promised else found.config.model_copy(update={"select": None})
    return Exploration(config, found.candidates, found.rows, found.verdict, found.findings)


def shown_on(found: Exploration) -> str:
    write_report(found)
    return " ".join("".join(Page(found.findings.report.read_text(encoding="utf-8")).texts).split())


@pytest.mark.usefixtures("undrawn")
def test_without_a_promise_none_is_spoken_of(run: Run, tmp_path: Path) -> None:
    assert "promise" not in shown_on(one_run(run, tmp_path, promised=False)).lower()
    assert "75.0\u00a0% of test texts get the right label" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The promise is kept" in shown_on(one_run(run, tmp_path, promised=True))


@pytest.mark.usefixtures("undrawn")
def test_candidates_without_a_promise_have_no_headline_about_one(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "swift", 0.7), measured(run, "slow", 3.5)), tmp_path)
    config = found.config.model_copy(update={"select": None})
    unpromised = Exploration(config, found.candidates, found.rows, found.verdict, found.findings)

    assert "No promise is configured" in shown_on(unpromised)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not any("promise" in heading.lower() for heading in page.headings)


def with_card(run: Run, **changes: Any) -> None:
    write_text(run.data.card, stable_json(read_json(run.data.card) | changes))


@pytest.fixture
def own_run(run: Run, tmp_path: Path) -> Run:
    """A copy of the planted run, to be changed."""
    shutil.copytree(run.root, tmp_path / "runs" / "goods")
    return Run(tmp_path / "runs" / "goods")


@pytest.mark.usefixtures("undrawn")
def test_worse_than_the_baseline_stands_where_the_promise_does(own_run: Run, tmp_path: Path) -> None:
    with_card(own_run, baseline={"accuracy": 0.965}, labels_without_test_rows=["[red] <b>", "pe\u202etrol"])
    shown = shown_on(one_run(own_run, tmp_path, promised=True))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert "Worse than the linear baseline: a linear model on word counts is right on 96.5%" in shown
    assert shown.count("2 of 5 labels are not tested") == 2
    assert "[red] <b>" in shown
    assert "pe\\u202etrol" in shown
    assert 'class="verdict missed"' in page
    assert read_json(tmp_path / "report.json")["warnings"][0].startswith("Worse than")


@pytest.mark.usefixtures("undrawn")
def test_a_baseline_that_is_not_there_is_a_dash(own_run: Run, tmp_path: Path) -> None:
    with_card(own_run, baseline={"accuracy": None})

    assert "linear baseline–" in shown_on(one_run(own_run, tmp_path, promised=True))


@pytest.mark.usefixtures("undrawn")
def test_every_mistake_is_on_the_page(own_run: Run, tmp_path: Path) -> None:
    rows = 500
    right = np.arange(rows) % 5
    texts = [f"text number {at}" for at in range(rows)]
    splits = load_from_disk(str(own_run.data.splits))
    test = Dataset.from_dict({"text": texts, "label": right.tolist()}, splits["test"].features)
    splits = DatasetDict({**splits, "test": test})
    own_run = Run(tmp_path / "many" / "goods")
    shutil.copytree(tmp_path / "runs" / "goods", own_run.root)
    shutil.rmtree(own_run.data.splits)
    splits.save_to_disk(str(own_run.data.splits))
    np.save(own_run.teacher.logits("test"), logits(right, wrong=0))
    np.save(own_run.exported.logits("test"), logits(right, wrong=300))
    found = one_run(own_run, tmp_path, promised=False)
    shown = shown_on(found)

    assert "All its 300 mistakes" in shown
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {text for text in page.texts if text.startswith("text number ")} >= set(texts[:300])
    assert "Mistakes 21 to 220" in shown
    assert "Mistakes 221 to 300" in shown
    mistakes = read_json(tmp_path / "report.json")["shown"]["mistakes"]
    assert sorted(each["row"] for each in mistakes) == list(range(300))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_rows_that_look_mislabelled_are_shown_if_they_were_looked_for(own_run: Run, tmp_path: Path) -> None:
    assert "mislabelled" not in shown_on(one_run(own_run, tmp_path, promised=False))
    long = "long " * 40_000
    own_run.suspects.write_text(
        f'row,text,label,self_confidence,likelier_label,likelier_probability\n17,"<i>{long}",tea,0.0001,"[b]",0.9\n',
        encoding="utf-8",
    )
    write_text(own_run.about_suspects, stable_json({"rows": 60, "judged": 55, "of_rare_labels": 5, "suspects": 1}))
    shown = shown_on(one_run(own_run, tmp_path, promised=False))

    assert "1 of 55 train rows look more like another label" in shown
    assert "5 rows of labels with fewer than 3 were not judged" in shown
    assert "<i>long long" in shown
    assert "(200,003 characters)" in shown
    assert str(own_run.suspects) in shown


MARKUP = """<b> ; &amp; ; <script>x ; ]]> ; <!-- ; " ; ' onload=x ; #0a0b01 ; font: 10px x ; font-family: x ;
xlink:href ; $x^2$ ; {{ x }} ; [red] ; تجربة"""
WORDS = st.sampled_from(
    [
        *(word.strip() for word in MARKUP.split(" ;")),
        "w" * 300,
        "\u202e",
        "\u2067",
        "\0",
        "\x1b[31m",
        "\n",
        "👩\u200d💻",
    ]
)


@settings(max_examples=8, deadline=None)
@given(names=st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), min_size=2, max_size=6, unique=True))
def test_labels_are_no_markup_in_a_drawing(names: list[str]) -> None:
    drawing = confusion_matrix(np.eye(len(names), dtype=np.int64), names)
    texts = [element.text or "" for element in ElementTree.fromstring(drawing).iter() if element.tag == "text"]

    for name in names:
        shown = one_line(name)
        assert (shown if len(shown) <= 16 else f"{shown[:15]}…").strip() in [text.strip() for text in texts]
    assert not {"script", "b"} & {element.tag for element in ElementTree.fromstring(drawing).iter()}


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.lists(WORDS, min_size=1, max_size=4).map(" ".join))
def test_labels_and_texts_are_no_markup_in_the_page(run: Run, tmp_path: Path, name: str) -> None:
    folder = Path(mkdtemp(dir=tmp_path))
    shutil.copytree(run.root, folder / "runs" / "goods")
    own = Run(folder / "runs" / "goods")
    write_text(own.data.labels, stable_json([*tiny_run.LABELS[:4], name]))
    with_card(own, origin=name, labels_without_test_rows=[name])
    write_report(one_run(own, folder, promised=False))
    page = Page((folder / "report.html").read_text(encoding="utf-8"))

    assert page.open == []
    assert "script" not in page.tags
    assert any(one_line(name) in text for text in page.texts)
    assert not [text for text in page.texts if set(text) & set("\u202e\u2067\0\x1b")]


# --- what can be seen --------------------------------------------------------------------------------------------


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("fill", ["accent", "second"])
def test_digits_stand_out_from_their_cells(scheme: int, fill: str) -> None:
    css = (Path(figures.__file__).parent / "page.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{([^}]*)\}", css)[scheme]
    colours = {name: to_rgb(value) for name, value in re.findall(r"--(\w+): (#[0-9a-f]{6})", block)}
    counts = np.array([[40, 10], [25, 15]])
    cells = re.findall(r"fill: var\(--(\w+)\); opacity: ([\d.]+)", confusion_matrix(counts, ["a", "b"]))
    strengths = [float(opacity) for name, opacity in cells if name == fill]

    assert strengths
    for opacity in strengths:
        ground = [opacity * c + (1 - opacity) * p for c, p in zip(colours[fill], colours["paper"], strict=True)]
        assert contrast(ground, colours["ink"]) >= 4.5


def test_a_bar_tells_its_rows() -> None:
    bins = [Bin(3, 0.42, 0.3), Bin(1234, 0.97, 0.9), Bin(56_789, 1.0, 1.0)]
    texts = [each.text for each in ElementTree.fromstring(reliability_diagram(bins)).iter("text")]

    assert {"3", "1234", "57k"} <= set(texts)


def test_on_a_phone_every_figure_has_its_name(explored: Exploration) -> None:
    text = explored.findings.report.read_text(encoding="utf-8")

    assert text.count('data-label="accuracy"') == 2, "one for each candidate that was measured"
    assert ".candidates td[data-label]::before { content: attr(data-label)" in text


# --- details -----------------------------------------------------------------------------------------------------


def test_mistakes_are_counted_by_pair_and_by_label(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "goods", 0.7),), tmp_path)
    details = details_of(found.candidates[0], found)

    assert details.confusion.sum() == 60
    assert details.confusion[0, 1] == 3, "of the first 15 rows three are tea, and taken for coffee"
    assert {(pair["right"], pair["answered"]) for pair in details.worst_pairs} >= {("tea", "coffee"), (NASTY, "tea")}
    tea = next(each for each in details.per_label if each.label == "tea")
    assert (tea.precision, tea.recall, tea.rows) == (9 / 12, 9 / 12, 12)
    assert [each.f1 for each in details.per_label] == sorted(each.f1 for each in details.per_label)


def test_disagreements_are_those_with_the_teacher(run: Run, tmp_path: Path) -> None:
    found = exploration(run, (measured(run, "goods", 0.7),), tmp_path)
    details = details_of(found.candidates[0], found)

    assert details.disagreeing_with_teacher == len(details.disagreements) == 5
    assert all(each["teacher"] == each["right"] != each["candidate"] for each in details.disagreements)
