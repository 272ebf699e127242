"""``marwright package``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marwright.cli.options import JsonOption, flag, option, print_json
from marwright.console.progress import say, waiting


def package(
    name: Annotated[str, option("NAME", "The archive is NAME.mar, served at /predictions/NAME.")],
    serialized_file: Annotated[Path, option("FILE", "TorchScript, ONNX, or weights for --model-file.")],
    handler: Annotated[
        str,
        option("NAME_OR_FILE", "A Python file, FILE.py:FUNCTION, or TorchServe's own, as image_classifier."),
    ],
    version: Annotated[str, typer.Option(help="Numbers with dots between them.")] = "1.0",
    model_file: Annotated[Path | None, option("FILE.py", "The class that weights are loaded into.")] = None,
    extra_files: Annotated[list[str] | None, option("FILE[,FILE…]", "More files. May be repeated.")] = None,
    requirements_file: Annotated[Path | None, option("FILE", "What TorchServe may install for this model.")] = None,
    config_file: Annotated[Path | None, option("FILE.yaml", "TorchServe's settings for this model.")] = None,
    export_path: Annotated[Path, option("FOLDER", "Where the archive goes.")] = Path("model_store"),
    force: Annotated[bool, flag("Replace an archive that is there.", "--force", "-f")] = False,
    run: Annotated[bool, flag("Run the handler before it is written.", "--run/--no-run")] = True,
    as_json: JsonOption = False,
) -> None:
    """Pack any module with any handler, TorchServe's own included, and check the archive before it is written.

    The options are those of torch-model-archiver; the same files give the same bytes.

    Example: marwright package --name cats --serialized-file cats.pt --handler image_classifier
    """
    from marwright.packaging import Package
    from marwright.packaging import package as packed

    extra = [Path(file.strip()) for given in extra_files or () for file in given.split(",")]
    wanted = Package(name, version, handler, serialized_file, model_file, extra, requirements_file, config_file)
    with waiting("packing and checking"):
        report = packed(wanted, export_path, force=force, run=run)
    file = export_path / f"{name}.mar"
    if as_json:
        print_json(report.as_json() | {"archive": str(file)})
    else:
        held = sum(check.state == "passed" for check in report.checks)
        say(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {held} checks hold; all of them: marwright verify {file}")
