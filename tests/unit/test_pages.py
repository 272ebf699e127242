"""What a newcomer reads is true: links lead somewhere, lines fit, versions agree, and nothing beside it is needed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import marwright

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MODULES = [file for place in ("src", "handlers", "scripts", "tests") for file in (ROOT / place).rglob("*.py")]
LONGEST_LINE = 160
# What a program writes, one line for a row or a machine.
WRITTEN_BY_MAKE_SOAK = re.compile(r"<!-- make soak writes this -->.*?<!-- as far as here -->", re.DOTALL)
LONGEST_README = 125


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_its_heading(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        place, _, heading = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (heading and heading not in _headings(target)):
            wrong.append(link)

    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`([\w./-]+\.py)`", page.read_text(encoding="utf-8")))

    assert not [name for name in named if not any(module.match(name) for module in MODULES)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_lines_of_a_page_fit(page: Path) -> None:
    text = WRITTEN_BY_MAKE_SOAK.sub("", page.read_text(encoding="utf-8"))
    wrong = [line for line in text.splitlines() if len(line) > LONGEST_LINE and not line.startswith("|")]

    assert not wrong, "\n".join(wrong)


def test_the_first_page_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_the_version_stands_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" in project["project"]["dynamic"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/marwright/__init__.py"
    assert f"## [{marwright.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_hooks_before_a_commit_are_what_make_lint_runs() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = {hook["name"] for hook in local["hooks"]}
    lint = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert hooks == {"ruff check", "ruff format", "mypy"}
    assert all(name.replace("ruff ", "bin/ruff ") in lint for name in hooks)


def test_no_file_of_the_project_needs_one_beside_it() -> None:
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    files = [ROOT / name for name in found if Path(name).suffix in {".py", ".yaml", ".toml", ".md", ".properties", ""}]
    beside = "../" + "shared"

    assert not [file for file in files if file.is_file() and beside in file.read_text("utf-8", errors="ignore")]


def _headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
