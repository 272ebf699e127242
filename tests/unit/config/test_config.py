"""Configurations: what is shipped loads, and everything wrong is named with its place and its cure, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from marwright.config import Config, GpuServingConfig, StudentConfig, load_config
from marwright.errors import ConfigError
from marwright.resources import shipped
from marwright.sources import AboSource, CustomsSource, TableSource

MODELS = sorted(file for file in shipped("configs").glob("*.yaml") if "\ndata:" in file.read_text(encoding="utf-8"))
CUSTOMS = "name: goods\ndata:\n  source: {name: customs}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "model.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str, *overrides: str) -> Config:
    return load_config(written(folder, text), overrides)


def complaints(folder: Path, text: str, *overrides: str) -> list[str]:
    """What the user reads, one line per problem, without the folder."""
    with pytest.raises(ConfigError) as raised:
        loaded(folder, text, *overrides)
    return str(raised.value).replace(f"{folder}/", "").splitlines()


# --- what is shipped ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_a_shipped_configuration_loads_and_says_how_to_run_it(file: Path) -> None:
    first_line = file.read_text(encoding="utf-8").splitlines()[0]

    assert load_config(file) == load_config(file.stem)
    assert first_line.startswith("# ")
    assert "make mar" in first_line


def test_the_default_configuration_is_the_one_the_readme_builds() -> None:
    config = load_config("customs")

    assert config.name == "pt_classifier"
    assert config.data.source == CustomsSource(name="customs", label="chapter")
    assert config.data.split.by_group
    assert isinstance(config.student, StudentConfig)
    assert config.student.layers == (0, 2, 5)


def test_banking77_scores_every_official_test_row() -> None:
    config = load_config("configs/banking77.yaml")

    assert config.data.overlap == "count"
    assert isinstance(config.data.source, TableSource)
    assert (config.data.source.split, config.data.source.text) == ("split", ("text",))


def test_a_shipped_configuration_is_found_away_from_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_config("customs") == load_config("configs/customs.yaml") == load_config("customs.yaml")


def test_a_file_of_the_user_goes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "customs.yaml").write_text(CUSTOMS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert load_config("customs.yaml").name == "goods"


@pytest.mark.parametrize("name", ["costoms", "configs/costoms.yaml", "elsewhere/customs.yaml", "."])
def test_a_missing_configuration_names_the_shipped_ones(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(name)

    assert str(raised.value).startswith(f"{Path(name)}: no such configuration file.")
    assert all(file.stem in str(raised.value) for file in MODELS)
    assert "metrics" not in str(raised.value)


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("teacher:\n  epoks: 3\n", "model.yaml:5: teacher.epoks: unknown key; did you mean epochs?"),
        ("archve: {}\n", "model.yaml:4: archve: unknown key; did you mean archive?"),
        ("zzz: 1\n", "model.yaml:4: zzz: unknown key"),
        ("student:\n  layers: [0]\n  alhpa: 1\n", "model.yaml:6: student.alhpa: unknown key; did you mean alpha?"),
        ("student:\n  layers: [0]\n  none: 1\n", "model.yaml:6: student.none: unknown key"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_key(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaints(tmp_path, CUSTOMS + text) == [complaint]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("name: customs\n    lable: chapter", "model.yaml:5: data.source.lable: unknown key; did you mean label?"),
        (
            "name: table\n    path: t.csv\n    table: x",
            "model.yaml:6: data.source.table: unknown key; did you mean label?",
        ),
        ("name: table", "model.yaml:3: data.source.path: required, but not given"),
        ("label: chapter", "model.yaml:3: data.source.name: required, but not given"),
    ],
)
def test_a_mistake_in_a_source_is_found_at_its_line(tmp_path: Path, source: str, complaint: str) -> None:
    assert complaints(tmp_path, f"name: goods\ndata:\n  source:\n    {source}\n") == [complaint]


def test_an_unknown_source_names_those_there_are(tmp_path: Path) -> None:
    (complaint,) = complaints(tmp_path, "name: goods\ndata:\n  source: {name: costoms}\n")

    assert complaint == (
        "model.yaml:3: data.source.name: must be customs, abo or table (given: 'costoms'); did you mean customs?"
    )


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    text = "name: goods\ndata:\n  source: {name: customs}\nteacher:\n  epochs: 0\n  epoks: 3\nstudent: {alpha: 2}\n"

    found = complaints(tmp_path, text, "archive.top_k=none")

    assert [complaint.split(": ")[:2] for complaint in found] == [
        ["model.yaml:5", "teacher.epochs"],
        ["model.yaml:6", "teacher.epoks"],
        ["model.yaml:7", "student.alpha"],
        ["--set archive.top_k=none", "archive.top_k"],
    ]


@pytest.mark.parametrize(
    ("section", "key", "value", "bound"),
    [
        ("teacher", "epochs", "0", "a whole number from 1 to 10000"),
        ("teacher", "max_length", "513", "a whole number from 4 to 512"),
        ("teacher", "learning_rate", "-0.1", "a number above 0"),
        ("export", "tolerance", "0", "a number above 0"),
        ("archive", "max_batch_delay_ms", "0", "a whole number from 1 to 60000"),
        ("archive", "version", "v1", "numbers with dots between"),
        ("compression", "cpu", "int4", "int8 or fp32"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_the_bound(
    tmp_path: Path, section: str, key: str, value: str, bound: str
) -> None:
    (complaint,) = complaints(tmp_path, f"{CUSTOMS}{section}:\n  {key}: {value}\n")

    assert complaint.startswith(f"model.yaml:5: {section}.{key}: ")
    assert bound in complaint
    assert value in complaint.partition("(given: ")[2]


@pytest.mark.parametrize(
    "start", ["{}", "{layers: [0], shape: tiny}", "{layers: [0], checkpoint: x}", "{checkpoint: x, shape: mini}"]
)
def test_a_student_starts_from_exactly_one_place(tmp_path: Path, start: str) -> None:
    assert complaints(tmp_path, f"{CUSTOMS}student: {start}\n") == [
        "model.yaml:4: student: give exactly one of layers, checkpoint, shape and bilstm, or write `student: none`"
    ]


def test_a_student_without_layers_is_refused(tmp_path: Path) -> None:
    (complaint,) = complaints(tmp_path, f"{CUSTOMS}student: {{layers: []}}\n")

    assert complaint.startswith("model.yaml:4: student.layers: ")


@pytest.mark.parametrize("word", ["none", "null", "~", ""])
def test_a_student_can_be_left_out(tmp_path: Path, word: str) -> None:
    assert loaded(tmp_path, f"{CUSTOMS}student: {word}\n").student == "none"


def test_another_word_for_a_student_is_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, f"{CUSTOMS}student: nobody\n") == [
        "model.yaml:4: student: must be none or a section: lines of `key: value`, indented (given: 'nobody')"
    ]


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    text = f"{CUSTOMS}teacher:\n  epochs: 3\nseed: 1\nteacher:\n  learning_rate: 0.1\n"

    assert complaints(tmp_path, text) == ["model.yaml:7: teacher: given before, at model.yaml:4"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [\n", "not a YAML file: while parsing a flow node"),
        ("name: \x07\n", "not a YAML file: unacceptable character"),
        ("a: &a {b: *a}\n", "not a YAML file"),
        ("!!python/object/apply:os.getcwd []\n", "not a YAML file: could not determine a constructor"),
        ("", "expected settings as `key: value`"),
        ("- name\n", "expected settings as `key: value`"),
    ],
)
def test_what_is_not_a_configuration_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    (complaint,) = complaints(tmp_path, text)

    assert complaint.startswith(f"model.yaml: {reason}")


def test_a_file_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(b"name: caf\xe9\n")

    with pytest.raises(ConfigError, match=r"model\.yaml: not a YAML file: 'utf-8' codec"):
        load_config(file)


@pytest.mark.parametrize("name", ["../up", "a b", "", "-x", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    (complaint,) = complaints(tmp_path, CUSTOMS.replace("goods", f"'{name}'"))

    assert complaint.startswith("model.yaml:1: name: ")


# --- overrides ---------------------------------------------------------------------------------------------------


def test_settings_can_be_overridden_whatever_their_type(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        CUSTOMS,
        "name=others",
        "teacher.epochs=3",
        "teacher.learning_rate=1.0e-3",
        "teacher.freeze_word_embeddings=false",
        "data.split.by_group=no",
        "student.layers=[1, 4]",
        "student.temperature=2",
        "archive.version='2.5'",
        "compression.gpu=none",
    )

    assert config.name == "others"
    assert config.teacher.epochs == 3
    assert config.teacher.learning_rate == 1e-3
    assert config.teacher.freeze_word_embeddings is False
    assert config.data.split.by_group is False
    assert isinstance(config.student, StudentConfig)
    assert (config.student.layers, config.student.temperature) == ((1, 4), 2.0)
    assert config.archive.version == "2.5"
    assert config.compression.gpu == "none"


def test_a_whole_section_can_be_overridden(tmp_path: Path) -> None:
    config = loaded(tmp_path, CUSTOMS, "data.source={name: abo, location: here}", "student=none")

    assert config.data.source == AboSource(name="abo", location="here")
    assert config.student == "none"


def test_the_last_override_wins(tmp_path: Path) -> None:
    assert loaded(tmp_path, CUSTOMS, "seed=1", "seed=2").seed == 2


def test_an_override_does_not_change_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, CUSTOMS)
    load_config(file, ["seed=1"])

    assert file.read_text(encoding="utf-8") == CUSTOMS
    assert load_config(file).seed == Config.model_fields["seed"].default


@pytest.mark.parametrize("override", ["teacher.epochs", "=3", ""])
def test_an_override_without_key_or_value_shows_how_to_write_it(tmp_path: Path, override: str) -> None:
    (complaint,) = complaints(tmp_path, CUSTOMS, override)

    assert complaint == f"--set {override}: write it as dotted.key=value, for example --set teacher.epochs=3"


def test_an_override_cannot_go_into_a_value(tmp_path: Path) -> None:
    assert complaints(tmp_path, CUSTOMS, "name.first=x") == ["--set name.first=x: name is a value, not a section"]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("teacher.epoks=3", "teacher.epoks: unknown key; did you mean epochs?"),
        ("teacher.epochs=0", "teacher.epochs: must be a whole number from 1 to 10000 (given: 0)"),
        ("teacher={epochs: 0}", "teacher.epochs: must be a whole number from 1 to 10000 (given: 0)"),
    ],
)
def test_a_wrong_override_is_not_blamed_on_the_file(tmp_path: Path, override: str, complaint: str) -> None:
    text = f"{CUSTOMS}teacher:\n  epochs: 3\n"

    assert complaints(tmp_path, text, override) == [f"--set {override}: {complaint}"]


def test_a_configuration_cannot_be_changed_once_it_is_checked(tmp_path: Path) -> None:
    config = loaded(tmp_path, CUSTOMS)

    with pytest.raises(ValueError, match="frozen"):
        config.teacher.epochs = 0  # type: ignore[misc]


# --- sections that are not in every configuration ----------------------------------------------------------------


def test_removed_parts_need_our_own_module(tmp_path: Path) -> None:
    text = CUSTOMS + "pruning: {kind: structured}\nexport: {method: trace}\n"
    (complaint,) = complaints(tmp_path, text)

    assert complaint.startswith("model.yaml: pruning.kind: structured needs export.method: script")
    assert complaint.endswith("Write `method: script`, or `kind: magnitude`")
    assert loaded(tmp_path, text.replace("structured", "magnitude")).pruning is not None


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        ("pruning: {kind: structured}", "pruning.kind: structured"),
        ("compression: {max_drop: 0.01}", "compression.max_drop"),
        ("compression: {quantization_aware: {}}", "compression.quantization_aware"),
    ],
)
def test_what_is_about_our_own_module_is_refused_for_another_runtime(
    tmp_path: Path, section: str, setting: str
) -> None:
    (complaint,) = complaints(tmp_path, CUSTOMS + section + "\nexport: {runtime: onnxruntime}\n")

    assert complaint.startswith(f"model.yaml: {setting} is about marwright's own module")
    assert complaint.endswith("Write `runtime: torchscript`, or leave it out")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("pruning: {share: 0.5}", "model.yaml:4: pruning.kind: required, but not given"),
        (
            "pruning: {kind: magnitude, heads: 0.5}",
            "model.yaml:4: pruning.heads: unknown key: it belongs to another choice of this section",
        ),
        (
            "pruning: {kind: magnitude, share: 1}",
            "model.yaml:4: pruning.share: must be a number above 0 and below 1 (given: 1)",
        ),
        (
            "compression: {max_drop: 1}",
            "model.yaml:4: compression.max_drop: must be a number of at least 0 and below 1 (given: 1)",
        ),
        (
            "pruning: {kind: structured, heads: 0, neurons: 0}",
            "model.yaml:4: pruning: heads and neurons are both 0: nothing would be removed; leave the section out",
        ),
        (
            "compression: {cpu: fp32, quantization_aware: {}}",
            "model.yaml:4: compression: quantization_aware trains for int8, but cpu is fp32: "
            "write `cpu: int8` or leave it out",
        ),
        (
            "compression: {cpu: fp32, max_drop: 0.01}",
            "model.yaml:4: compression: max_drop is about int8, but cpu is fp32: write `cpu: int8` or leave it out",
        ),
        (
            "pruning: {kind: thin}",
            "model.yaml:4: pruning.kind: must be magnitude or structured (given: 'thin')",
        ),
    ],
    ids=str,
)
def test_a_mistake_in_an_optional_section_is_named(tmp_path: Path, section: str, complaint: str) -> None:
    assert complaints(tmp_path, CUSTOMS + section + "\n") == [complaint]


# --- Bi-LSTMs and altered texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "complaint"),
    [
        ("{bilstm: {}, layers: [0]}", "give exactly one of layers, checkpoint, shape and bilstm"),
        ("{bilstm: {}, hidden_weight: 1.0}", "a Bi-LSTM has none"),
        ("{checkpoint: x, augmentation: {}}", "may have another tokenizer"),
        ("{layers: [0], teacher_words: true}", "teacher_words is for a shape"),
        ("{bilstm: {}, augmentation: {mask: 0, ngram: 0}}", "would all be the texts themselves"),
    ],
)
def test_students_that_cannot_be_are_refused(tmp_path: Path, student: str, complaint: str) -> None:
    (told,) = complaints(tmp_path, f"{CUSTOMS}student: {student}\n")

    assert complaint in told


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        ("export: {runtime: onnxruntime}", "export.runtime"),
        ("pruning: {kind: magnitude}", "pruning"),
        ("compression: {quantization_aware: {}}", "compression.quantization_aware"),
        ("compression: {max_drop: 0.01}", "compression.max_drop"),
    ],
)
def test_what_is_for_transformers_is_refused_for_a_bilstm(tmp_path: Path, section: str, setting: str) -> None:
    (told,) = complaints(tmp_path, f"{CUSTOMS}student: {{bilstm: {{}}}}\n{section}\n")

    assert setting in told
    assert "Bi-LSTM" in told or "student.bilstm" in told


def test_settings_that_a_student_does_not_use_leave_its_fingerprint_alone() -> None:
    # Students trained before there were Bi-LSTMs must not be trained again.
    assert not {"bilstm", "augmentation", "teacher_words"} & StudentConfig(layers=(0,)).model_dump().keys()
    assert "bilstm" in StudentConfig.model_validate({"bilstm": {}}).model_dump()


def test_settings_for_gpus_need_a_module_for_them(tmp_path: Path) -> None:
    gpus = CUSTOMS + "archive: {gpu: {device_ids: [0, 1]}}\n"

    assert loaded(tmp_path, gpus).archive.gpu == GpuServingConfig(device_ids=(0, 1))
    (complaint,) = complaints(tmp_path, gpus + "compression: {gpu: none}\n")
    assert "compression.gpu: none makes no module" in complaint
    (negative,) = complaints(tmp_path, gpus.replace("0, 1", "-1"))
    assert negative.startswith("model.yaml:4: archive.gpu.device_ids.0: ")
