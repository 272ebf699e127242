"""``config.pbtxt`` of Triton's models, in protobuf's text format (``model_config.proto`` of Triton's ``common``)."""

from __future__ import annotations

import json

from marwright.config import ArchiveConfig
from marwright.runtimes.runtime import TritonBackend


def classifier_config(name: str, archive: ArchiveConfig, top_k: int) -> str:
    """Configure the model that takes texts and gathers them into batches."""
    return f"""\
# Texts in, the {top_k} best labels with their probabilities out, best first.
name: {_quoted(name)}
backend: "python"
max_batch_size: {archive.batch_size}
input [
{_tensor("TEXT", "TYPE_STRING", 1)}
]
output [
{_tensor("LABEL", "TYPE_STRING", top_k)},
{_tensor("PROBABILITY", "TYPE_FP32", top_k)}
]
dynamic_batching {{
  preferred_batch_size: [ {archive.batch_size} ]
  max_queue_delay_microseconds: {1000 * archive.max_batch_delay_ms}
}}
{_instances(archive)}
"""


def module_config(name: str, archive: ArchiveConfig, backend: TritonBackend, labels: int, labels_file: str) -> str:
    """Configure the module: token ids and mask, (texts, longest), to logits, (texts, labels).

    Its batches come as they shall be computed, so it gathers none.
    """
    tensors = ",\n".join(_tensor(each, "TYPE_INT64", -1) for each in backend.inputs)
    return f"""\
# Token ids and attention mask in, one logit for each label out.
name: {_quoted(name)}
backend: {_quoted(backend.name)}
max_batch_size: {archive.batch_size}
input [
{tensors}
]
output [
{_tensor(backend.output, "TYPE_FP32", labels, labels_file)}
]
parameters {{ key: {_quoted(backend.threads)} value {{ string_value: "{archive.threads}" }} }}
{_instances(archive)}
"""


def _instances(archive: ArchiveConfig) -> str:
    return f"""\
# As many as the server has cores for, each with the threads of the module.
instance_group [
  {{
    count: {archive.workers or 1}
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
