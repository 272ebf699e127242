"""Labels, names and texts of others are shown and never obeyed: by no verb, in no table, error or progress line."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from marwright import cli
from marwright.checks.lint import Finding
from marwright.checks.verify.report import Check, Report
from marwright.cli.linting import _print as print_findings
from marwright.cli.options import print_json, print_json_list
from marwright.cli.predicting import _print_predictions
from marwright.cli.verification import _print as print_report
from marwright.console import progress
from marwright.console.terminal import Terminal, as_standard_output_takes_it, visible, visible_json
from marwright.errors import DataError
from marwright.prediction import Item, Prediction

OBEYED = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\r", "\b", "\x00", "\x7f", "\u202e", "\u2066", "\u200f"]
MARKUP = ["[red]", "[BUG] crash", "[/red]", "[link=x]", ":warning:", "[bold", "\\[x]", "[@click=x]"]
FOREIGN = st.one_of(
    st.text(max_size=12),
    st.lists(st.sampled_from([*OBEYED, *MARKUP, "a", "\n", "\t", "\u2028", "語", "\ud800"]), max_size=6).map("".join),
)


def controls(shown: str) -> list[str]:
    """What a terminal would obey, or not show, in what reached it."""
    return [one for one in shown if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def joined(text: str) -> bool:
    return any(one in text for one in "\u200c\u200d")


@given(FOREIGN)
def test_nothing_that_a_terminal_obeys_is_left_and_the_rest_is_as_it_was(text: str) -> None:
    shown = visible(text)

    assert [one for one in controls(shown) if one not in "\u200c\u200d"] == []
    assert "\n" not in shown
    assert visible(shown) == shown
    if not controls(text) and "\n" not in text:
        assert shown == text


def test_letters_of_every_language_are_letters() -> None:
    for text in ("می‌خواهم", "क्‍ष", "日本　茶", "naïve café", "👩‍🔬"):
        assert visible(text) == text


@given(FOREIGN)
def test_json_means_the_same_and_has_no_controls(text: str) -> None:
    shown = visible_json(json.dumps({"label": text}, ensure_ascii=False, indent=2))

    assert json.loads(shown) == {"label": text}
    assert joined(text) or controls(shown) == []


class Screen(io.StringIO):
    """A terminal that keeps what it gets."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return False


def on_screen(monkeypatch: pytest.MonkeyPatch, show: Any) -> str:
    out, err = Screen(), Screen()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("COLUMNS", "1000")
    try:
        show()
    finally:
        monkeypatch.undo()
    return out.getvalue() + err.getvalue()


def in_a_table(text: str) -> None:
    table = Table(text, title=text)
    table.add_row(text)
    Terminal().print(table)


def in_an_error(text: str) -> None:
    def fail() -> None:
        raise DataError(f"label {text!s}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli.app, "app", fail)
        with pytest.raises(SystemExit):
            cli.app.main()


def in_progress(text: str) -> None:
    with progress.console().status(text) as status:
        status.update(text)
    with progress.progress_bar() as bar:
        bar.add_task(text, total=1, note=text)
    assert list(progress.track([1], text)) == [1]


SHOWN = {
    "say": progress.say,
    "table": in_a_table,
    "error": in_an_error,
    "progress": in_progress,
    "prediction": lambda text: _print_predictions(
        [Prediction(Item(text), {text: 0.5}), Prediction(Item(text), status=400, message=text)]
    ),
    "inspect": lambda text: Terminal().print_pairs([(text, text)]),
    "lint": lambda text: print_findings([Finding(text, 1, "error", "rule", text, text)]),
    "verify": lambda text: print_report(
        Report(
            Path(text.replace("\0", "") or "x"),
            [Check("a", "passed", text), Check("b", "failed", text, text)],
            {text: text},
        )
    ),
    "json": lambda text: (print_json({"text": text}), print_json_list([text, {"text": text}])),
}


@pytest.mark.parametrize("place", SHOWN)
@pytest.mark.parametrize("text", [*OBEYED, *MARKUP, "a\nmarwright: all is well", "\ud800"], ids=ascii)
def test_no_verb_lets_a_text_speak_for_itself(monkeypatch: pytest.MonkeyPatch, place: str, text: str) -> None:
    progress.console.cache_clear()
    shown = on_screen(monkeypatch, lambda: SHOWN[place](text))
    progress.console.cache_clear()

    assert controls(shown) == []
    assert "\nmarwright: all is well" not in shown
    if place not in ("progress", "json", "error"):
        assert visible(text) in shown, "and it is shown as it is"


@given(FOREIGN)
@pytest.mark.parametrize("place", ["say", "table", "prediction", "inspect", "lint"])
def test_no_text_at_all_does(place: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        progress.console.cache_clear()
        shown = on_screen(monkeypatch, lambda: SHOWN[place](text))
        progress.console.cache_clear()
    assert joined(text) or controls(shown) == []


def test_progress_on_a_terminal_shows_markup_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Screen, "isatty", lambda self: True)
    monkeypatch.setenv("TERM", "xterm")
    progress.console.cache_clear()
    shown = on_screen(monkeypatch, lambda: in_progress("[BUG] \x1b]0;crash\x07 [/red]"))
    progress.console.cache_clear()

    assert "[BUG] \\x1b]0;crash\\x07 [/red]" in shown
    assert "\x07" not in shown


@pytest.mark.slow
def test_a_terminal_without_the_letters_gets_their_numbers(tiny_archive: Path) -> None:
    import os
    import subprocess

    command = [sys.executable, "-m", "marwright", "predict", str(tiny_archive), "té", "--json"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["text"] == "té"


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_table_on_standard_output_is_safe_on_a_terminal_and_whole_elsewhere(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    table = "row,text\n0,\x1b]0;x\x07tea\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: on_terminal)

    told = as_standard_output_takes_it(table)
    assert told == (r"row,text|0,\x1b]0;x\x07tea|".replace("|", "\n") if on_terminal else table)
