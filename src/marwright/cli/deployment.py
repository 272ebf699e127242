"""``marwright export``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from marwright.cli.exploring import explored
from marwright.cli.options import ConfigArgument, JsonOption, SetOption, option, print_json
from marwright.config import Config, load_config
from marwright.console.progress import say, waiting
from marwright.errors import ExportError
from marwright.road.stations import archive_path, model_to_compress

FOLDER = "a folder that is empty or not there."
# What one does with what was written.
NEXT = {
    "external": "AutoTokenizer and ONNX Runtime read it, and it answers the golden requests as the build did",
    "triton": "tritonserver --model-repository {}; its Python needs numpy and tokenizers",
    "container": "docker build -t NAME {0}, or docker compose up --build in it",
    "kubernetes": "with the image of --container in your registry, kubectl apply -k {}/base",
    "ray": "serve run {}/serve.yaml; its archive answers the golden requests as the build did",
}


def export(
    config: ConfigArgument,
    external: Annotated[
        Path | None,
        option("DIR", f"ONNX module and tokenizer in Hugging Face's layout, into {FOLDER}"),
    ] = None,
    triton: Annotated[Path | None, option("DIR", f"A model repository for Triton, into {FOLDER}")] = None,
    container: Annotated[
        Path | None,
        option("DIR", f"A build context for an image with the archive, and a compose file, into {FOLDER}"),
    ] = None,
    kubernetes: Annotated[
        Path | None,
        option("DIR", f"Manifests for Kubernetes and KServe, around the image of --container, into {FOLDER}"),
    ] = None,
    ray: Annotated[Path | None, option("DIR", f"The archive with what Ray Serve needs, into {FOLDER}")] = None,
    triton_version: Annotated[int, option("N", "The number of the version's folders in it.", min=1)] = 1,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a finished build for other servers than TorchServe.

    The run of this configuration must be finished and fresh. With a section ``select`` it is that of the candidate
    that is picked. ``--ray`` needs the archive alone, and takes its file in place of a configuration.

    Example: marwright export configs/customs.yaml --triton triton_models
    """
    from marwright.fleet.container.context import export_container
    from marwright.fleet.external import export_external
    from marwright.fleet.finished import finished_run
    from marwright.fleet.kubernetes.manifests import export_kubernetes
    from marwright.fleet.ray_files import export_ray
    from marwright.fleet.triton import export_triton

    folders = {"external": external, "triton": triton, "container": container, "kubernetes": kubernetes, "ray": ray}
    if not any(folders.values()):
        raise ExportError(f"Say what to write: {', '.join(f'--{kind} DIR' for kind in folders)}, or several of them.")
    if config.endswith(".mar") and any(folder for kind, folder in folders.items() if kind != "ray"):
        raise ExportError(f"{config}: an archive alone is enough for --ray DIR. Give its configuration for the rest.")
    with waiting("writing"):
        if config.endswith(".mar"):
            archive = Path(config)
        else:
            loaded = _picked(config, settings or ())
            run = finished_run(loaded, "archive" if container or kubernetes or ray else "exported")
            model, archive = model_to_compress(loaded, run), archive_path(loaded)
        write: dict[str, Callable[[Path], None]] = {
            "external": lambda folder: export_external(run, model, folder),
            "triton": lambda folder: export_triton(run, model, loaded.archive, loaded.name, folder, triton_version),
            "container": lambda folder: export_container(loaded, archive, folder),
            "kubernetes": lambda folder: export_kubernetes(loaded, archive, folder),
            "ray": lambda folder: export_ray(archive, folder),
        }
        for kind, folder in folders.items():
            if folder is not None:
                write[kind](folder)
    if as_json:
        print_json({kind: folder and str(folder) for kind, folder in folders.items()})
        return
    for kind, folder in folders.items():
        if folder is not None:
            say(f"{folder}: {NEXT[kind].format(folder)}")


def _picked(config: str, settings: Sequence[str]) -> Config:
    """The configuration, or that of the candidate that is picked."""
    loaded = load_config(config, settings)
    if loaded.select is None:
        return loaded
    from marwright.explore.explore import chosen

    return chosen(explored(loaded)).config
