"""``marwright export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from marwright.cli.options import ConfigArgument, JsonOption, SetOption, option, print_json
from marwright.console.progress import say, waiting
from marwright.errors import ExportError

FOLDER = "a folder that is empty or not there."


def export(
    config: ConfigArgument,
    external: Annotated[
        Path | None,
        option("DIR", f"ONNX module and tokenizer in Hugging Face's layout, into {FOLDER}"),
    ] = None,
    triton: Annotated[Path | None, option("DIR", f"A model repository for Triton, into {FOLDER}")] = None,
    triton_version: Annotated[int, option("N", "The number of the version's folders in it.", min=1)] = 1,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a finished build for other servers than TorchServe.

    The run of this configuration must be finished and fresh. With a section ``select`` it is that of the candidate
    that is picked.

    Example: marwright export configs/customs.yaml --triton triton_models
    """
    from marwright.config import load_config
    from marwright.fleet.external import export_external
    from marwright.fleet.finished import finished_run
    from marwright.fleet.triton import export_triton
    from marwright.road.stations import model_to_compress

    if external is None and triton is None:
        raise ExportError("Say what to write: --external DIR, --triton DIR, or both.")
    loaded = load_config(config, settings or ())
    if loaded.select is not None:
        from marwright.cli.exploring import explored
        from marwright.explore.explore import chosen

        loaded = chosen(explored(loaded)).config
    run = finished_run(loaded)
    model = model_to_compress(loaded, run)
    with waiting("writing"):
        if external is not None:
            export_external(run, model, external)
        if triton is not None:
            export_triton(run, model, loaded.archive, loaded.name, triton, triton_version)
    if as_json:
        print_json({"external": external and str(external), "triton": triton and str(triton)})
        return
    if external is not None:
        say(f"{external}: AutoTokenizer and ONNX Runtime read it, and it answers the golden requests as the build did")
    if triton is not None:
        say(f"{triton}: tritonserver --model-repository {triton}; its Python needs numpy and tokenizers")
