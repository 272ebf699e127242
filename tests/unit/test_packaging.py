"""Packing other people's modules: with a handler of their own or one of TorchServe's, checked before it is written."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from command_line import PROJECT, marwright
from foreign_archives import Adds
from marwright.checks.verify import verify
from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.packaging import Package, package
from marwright.server.ports import Ports
from marwright.server.server import serving

ECHO = PROJECT / "tests" / "samples" / "echo_handler"


@pytest.fixture
def echo(tmp_path: Path) -> Package:
    """A TorchScript module for the echoing handler; it gives 3.0."""
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.ones_(layer.bias)
    torch.jit.trace(layer, torch.ones(1, 2)).save(str(tmp_path / "linear.pt"))
    return Package(
        "echo",
        "1.2",
        str(ECHO / "echo_handler.py"),
        tmp_path / "linear.pt",
        config_file=ECHO / "model-config.yaml",
    )


def refusal(wanted: Package, folder: Path) -> str:
    """Why a package is refused; nothing must have been written."""
    with pytest.raises(ArchiveError) as raised:
        package(wanted, folder)
    assert not folder.exists() or not list(folder.iterdir())
    assert len(str(raised.value).splitlines()) <= 2
    return str(raised.value)


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_archive_has_what_was_given_with_a_hash_of_each(echo: Package, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text("{}")
    report = package(replace(echo, extra_files=[tmp_path / "labels.json"]), tmp_path / "store")

    assert report.holds
    with zipfile.ZipFile(tmp_path / "store" / "echo.mar") as archive:
        names = set(archive.namelist())
        model = json.loads(archive.read(layout.MANIFEST))["model"]
        hashes = json.loads(archive.read(layout.HASHES))
    own = {"linear.pt", "echo_handler.py", "model-config.yaml", "labels.json", layout.MANIFEST}
    assert names == own | {layout.HASHES}
    assert hashes.keys() == own
    assert (model["modelVersion"], model["serializedFile"], model["handler"], model["configFile"]) == (
        *("1.2", "linear.pt", "echo_handler.py", "model-config.yaml"),
    )


def test_the_same_files_give_the_same_bytes(echo: Package, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        package(echo, tmp_path / folder, run=False)

    assert (tmp_path / "one" / "echo.mar").read_bytes() == (tmp_path / "other" / "echo.mar").read_bytes()


@pytest.mark.slow
def test_what_the_handler_imports_beside_it_comes_along(echo: Package, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    (tmp_path / "own.py").write_text("import helper\n\ndef handle(data, context):\n    return [helper.ANSWER]\n")
    package(replace(echo, handler=f"{tmp_path}/own.py:handle"), tmp_path / "store")

    with zipfile.ZipFile(tmp_path / "store" / "echo.mar") as archive:
        assert "helper.py" in archive.namelist()
        assert json.loads(archive.read(layout.MANIFEST))["model"]["handler"] == "own.py:handle"


@pytest.mark.slow
def test_weights_with_their_class_are_served_by_torchserve_s_base_handler(tmp_path: Path) -> None:
    (tmp_path / "adder.py").write_text(
        "import torch\n\nclass Adder(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n"
    )
    torch.save(Adds().state_dict(), tmp_path / "adder.pt")
    wanted = Package("adder", "1.0", "base_handler", tmp_path / "adder.pt", model_file=tmp_path / "adder.py")

    assert package(wanted, tmp_path / "store").holds


@pytest.mark.slow
def test_an_onnx_module_is_taken_for_what_it_is(tiny_onnx: tuple[object, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny_onnx[1]) as archive:
        archive.extract("model.onnx", tmp_path)

    assert package(Package("goods", "1.0", "base_handler", tmp_path / "model.onnx"), tmp_path / "store").holds


def test_an_archive_that_is_there_is_replaced_only_when_asked(echo: Package, tmp_path: Path) -> None:
    package(echo, tmp_path, run=False)
    before = (tmp_path / "echo.mar").read_bytes()

    with pytest.raises(ArchiveError, match=r"echo\.mar: there is one already; --force replaces it"):
        package(replace(echo, version="2.0"), tmp_path, run=False)
    assert (tmp_path / "echo.mar").read_bytes() == before

    package(replace(echo, version="2.0"), tmp_path, run=False, force=True)
    assert (tmp_path / "echo.mar").read_bytes() != before


# --- what is refused ---------------------------------------------------------------------------------------------

WRONG = {
    "a version of words": ({"version": "1.0-beta"}, "--version 1.0-beta: use numbers"),
    "no version": ({"version": ""}, "--version : use numbers"),
    "a name with a folder": ({"name": "a/b"}, "--name a/b: use letters"),
    "a module that is not there": ({"serialized_file": Path("no.pt")}, "no.pt: cannot be read: No such file"),
    "a folder as module": ({"serialized_file": Path("/tmp")}, "/tmp: cannot be read: Is a directory"),
    "a handler that is not there": ({"handler": "no.py"}, "no.py: cannot be read: No such file"),
    "a handler that is none": ({"handler": "image_classifer"}, "nor one of TorchServe's own: base_handler, "),
    "an extra file that is not there": ({"extra_files": [Path("no.json")]}, "no.json: cannot be read"),
    "a file twice": ({"extra_files": [ECHO / "model-config.yaml"]}, "the archive already has a file model-config.yaml"),
    "the handler's name for another file": (
        {"model_file": ECHO.parent / "cls_vector_handler" / "cls_vector_handler.py"}
        | {"handler": str(ECHO.parent / "cls_vector_handler" / "cls_vector_handler.py")},
        "the archive already has a file cls_vector_handler.py; rename one",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_named(echo: Package, tmp_path: Path, change: dict[str, object], said: str) -> None:
    assert said in refusal(replace(echo, **change), tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.pt", b"not a module", "neither TorchScript nor what torch.save writes"),
        ("model.pth", b"", "neither TorchScript nor what torch.save writes"),
        ("model.onnx", b"not a module", "not valid ONNX"),
        ("model.onnx", b"", "not valid ONNX"),
    ],
)
def test_a_module_that_is_not_what_its_name_says_is_refused(
    echo: Package, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)

    message = refusal(replace(echo, serialized_file=tmp_path / name), tmp_path / "store")
    assert message.startswith(f"{tmp_path / name}: {said}")


def test_a_zip_file_of_something_else_is_no_module(echo: Package, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("words.txt", "hello")

    assert "a zip file, but neither" in refusal(
        replace(echo, serialized_file=tmp_path / "model.pt"), tmp_path / "store"
    )


def test_weights_without_their_class_are_refused_for_torchserve_s_handlers(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "weights.pt")
    wanted = Package("adder", "1.0", "base_handler", tmp_path / "weights.pt")

    assert "weights, not TorchScript. Give their class with --model-file" in refusal(wanted, tmp_path / "store")


def test_a_pickle_that_could_run_anything_is_refused(echo: Package, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.pt")

    message = refusal(replace(echo, serialized_file=tmp_path / "whole.pt"), tmp_path / "store")
    assert f"{tmp_path}/store/echo.mar is not written. no pickles: whole.pt imports " in message


@pytest.mark.slow
def test_a_handler_that_cannot_load_is_refused_with_the_worker_s_reason(echo: Package, tmp_path: Path) -> None:
    """The echoing handler loads linear.pt, whatever the manifest says."""
    renamed = echo.serialized_file.rename(tmp_path / "other.pt")

    message = refusal(replace(echo, serialized_file=renamed), tmp_path / "store")
    assert "worker: " in message
    assert "linear.pt" in message


def test_settings_that_torchserve_would_not_read_are_refused(echo: Package, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("batchSize: '8'\n")

    assert "settings: " in refusal(replace(echo, config_file=tmp_path / "settings.yaml"), tmp_path / "store")


# --- TorchServe's own handlers -----------------------------------------------------------------------------------

NEEDS = {
    "image_classifier": {"captum", "PIL", "torchvision"},
    "image_segmenter": {"captum", "PIL", "torchvision"},
    "object_detector": {"captum", "PIL", "torchvision"},
    "text_classifier": {"captum"},
}


@pytest.mark.slow
@pytest.mark.parametrize("handler", NEEDS)
def test_what_a_handler_of_torchserve_s_lacks_is_foretold(echo: Package, tmp_path: Path, handler: str) -> None:
    missing = sorted(name for name in NEEDS[handler] if importlib.util.find_spec(name) is None)
    wanted = replace(echo, name=handler, handler=handler)
    if not missing:
        pytest.skip(f"{', '.join(NEEDS[handler])} are installed")

    message = refusal(wanted, tmp_path / "store")
    assert f"handler imports: TorchServe's {handler} imports {' and '.join(missing)}, not installed here" in message
    assert f"pip install torch=={torch.__version__.partition('+')[0]} " in message
    assert message.endswith(", or pack it for another machine with --no-run.")

    report = package(wanted, tmp_path / "store", run=False)
    assert (tmp_path / "store" / f"{handler}.mar").is_file()
    assert {check.state for check in report.checks if check.name in ("hashes", "manifest", "no pickles")} == {"passed"}


@pytest.mark.slow
def test_torchserve_serves_an_image_classifier(tmp_path: Path) -> None:
    for name in NEEDS["image_classifier"]:
        pytest.importorskip(name, reason="needs captum, Pillow and the torchvision of this torch", exc_type=Exception)
    from io import BytesIO

    from PIL import Image

    class Colour(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            means = images.mean(dim=(2, 3))
            return torch.cat([means, -means], dim=1)  # the handler answers with five labels

    torch.jit.script(Colour()).save(str(tmp_path / "colour.pt"))
    names = ["red", "green", "blue", "not red", "not green", "not blue"]
    (tmp_path / "index_to_name.json").write_text(json.dumps({str(at): name for at, name in enumerate(names)}))
    extra = [tmp_path / "index_to_name.json"]
    config = ECHO / "model-config.yaml"
    wanted = Package("colour", "1.0", "image_classifier", tmp_path / "colour.pt", extra_files=extra, config_file=config)
    package(wanted, tmp_path / "store")
    picture = BytesIO()
    Image.new("RGB", (300, 260), (10, 20, 250)).save(picture, "png")

    with serving(tmp_path / "store", None, state=tmp_path / "state", ports=Ports.free()) as server:
        request = urllib.request.Request(
            f"{server.inference}/predictions/colour", picture.getvalue(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.loads(answer.read())
    assert max(found, key=lambda name: found[name]) == "blue"


# --- the command -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_packed_module_is_verified_and_served(echo: Package, tmp_path: Path) -> None:
    (tmp_path / "one.txt").touch()
    (tmp_path / "two.txt").touch()
    arguments = ["--name", "echo", "--serialized-file", echo.serialized_file, "--handler", echo.handler]
    arguments += ["--version", "2.1", "--config-file", ECHO / "model-config.yaml"]
    arguments += ["--extra-files", f"{tmp_path}/one.txt,{tmp_path}/two.txt", "--export-path", tmp_path / "store"]
    done = marwright("package", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["archive"] == str(tmp_path / "store" / "echo.mar")

    report = verify(tmp_path / "store" / "echo.mar")
    assert report.holds
    assert {check.name for check in report.checks if check.state == "passed"} >= {
        *("hashes", "manifest", "settings", "no pickles", "handler imports", "handler contract", "worker")
    }
    properties = PROJECT / "configs" / "config.properties"
    with serving(tmp_path / "store", properties, state=tmp_path / "state", ports=Ports.free()) as server:
        answer = urllib.request.urlopen(f"{server.inference}/predictions/echo", b"{}", timeout=60)
        assert json.loads(answer.read()) == {"value": 3.0}

    done = marwright("package", *arguments)
    assert done.returncode == 2
    assert "--force" in done.stderr
