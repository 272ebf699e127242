"""``config.pbtxt`` of Triton's models, in protobuf's text format (``model_config.proto`` of Triton's ``common``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextModel:
    """What two models that classify texts together have in common."""

    labels: int
    top_k: int
    batch_size: int
    """The most texts in one run of the module."""
    delay_us: int
    """The longest wait for a batch to fill, in microseconds."""
    instances: int


def classifier_config(name: str, model: TextModel) -> str:
    """Configure the model that takes texts and gathers them into batches."""
    return f"""\
# Texts in, the {model.top_k} best labels with their probabilities out, best first.
name: {_quoted(name)}
backend: "python"
max_batch_size: {model.batch_size}
input [
{_tensor("TEXT", "TYPE_STRING", 1)}
]
output [
{_tensor("LABEL", "TYPE_STRING", model.top_k)},
{_tensor("PROBABILITY", "TYPE_FP32", model.top_k)}
]
dynamic_batching {{
  preferred_batch_size: [ {model.batch_size} ]
  max_queue_delay_microseconds: {model.delay_us}
}}
{_instances(model.instances)}
"""


def module_config(
    name: str,
    model: TextModel,
    backend: str,
    inputs: Sequence[str],
    output: str,
    labels_file: str,
    parameters: Mapping[str, int],
) -> str:
    """Configure the module: token ids and mask, (texts, longest), to logits, (texts, labels).

    Its batches come as they shall be computed, so it gathers none.
    """
    tensors = ",\n".join(_tensor(each, "TYPE_INT64", -1) for each in inputs)
    settings = "\n".join(
        f'parameters {{ key: {_quoted(key)} value {{ string_value: "{value}" }} }}' for key, value in parameters.items()
    )
    return f"""\
# Token ids and attention mask in, one logit for each label out.
name: {_quoted(name)}
backend: {_quoted(backend)}
max_batch_size: {model.batch_size}
input [
{tensors}
]
output [
{_tensor(output, "TYPE_FP32", model.labels, labels_file)}
]
{settings}
{_instances(model.instances)}
"""


def _instances(count: int) -> str:
    return f"""\
# As many as the server has cores for, each with the threads of the module.
instance_group [
  {{
    count: {count}
    kind: KIND_CPU
  }}
]"""


def _tensor(name: str, kind: str, dimension: int, labels_file: str = "") -> str:
    labels = f"\n    label_filename: {_quoted(labels_file)}" if labels_file else ""
    return f"""\
  {{
    name: {_quoted(name)}
    data_type: {kind}
    dims: [ {dimension} ]{labels}
  }}"""


def _quoted(text: str) -> str:
    return json.dumps(text)
