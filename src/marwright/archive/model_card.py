"""The archive's ``model_card.md``: what the model is, how good it is, what it is not for (after Mitchell et al. 2019).

It says nothing that another build of the same student would say otherwise. So it has no timings: those belong to a
machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from marwright.config import ArchiveConfig
from marwright.console.foreign import code_span, in_markdown
from marwright.metrics.classification import accuracy_interval
from marwright.metrics.verdicts import baseline_accuracy, warnings

SHOWN_LABELS = 100


def model_card(
    card: Mapping[str, Any], labels: Sequence[str], config: ArchiveConfig, *, sizes: Mapping[str, int]
) -> str:
    """The card as Markdown: of the archive's ``card.json``, and of bytes of the module for each kind of device."""
    name, data = card["name"], card["data"]
    title = f"# {name} {card['version']}"
    what = (
        f"It gives a text one of {len(labels)} labels, with probabilities. Made by {card['made_by']} for TorchServe; "
        f"its module for CPUs is computed by {card['module']['runtime']} ({card['module']['class']})."
    )
    fields = data.get("text", {}).get("fields", [])
    parts = [title, what, _use(name, config, fields), _quality(card), _data(data), _sizes(card, sizes), _limits(data)]
    if config.licenses:
        parts.append("## Licences\n\n" + "\n".join(f"- {line}" for line in config.licenses))
    parts.append(_labels(labels, frozenset(data.get("labels_without_test_rows", ()))))
    return "\n\n".join(parts) + "\n"


def _use(name: str, config: ArchiveConfig, fields: Sequence[str]) -> str:
    if config.handler is not None:
        own = code_span(config.handler.name)
        return f"## Use\n\nThe archive has a handler of its own, {own}, which says what a request is."
    by_fields = unsure = ""
    if len(fields) > 1:  # the table had the text in several columns
        example = json.dumps(dict.fromkeys(fields, "…"), ensure_ascii=False)
        by_fields = f"`{example}` is joined as the training texts were; what is missing or empty is left out.\n\n"
    if config.min_confidence is not None:
        unsure = (
            f"\nIf the best label's probability is below {config.min_confidence:g}, the answer is "
            '`{"label": null, "predictions": {…}}` with the same labels.'
        )
    return f"""## Use

```bash
curl -X POST http://localhost:8080/predictions/{name} -H 'Content-Type: application/json' -d '{{"text": "…"}}'
```

{by_fields}The answer has the {config.top_k} best labels with their probabilities, best first.{unsure}
`marwright predict {name}.mar "…"` asks it without a server."""


def _quality(card: Mapping[str, Any]) -> str:
    test = card["archive"]
    rows = test.get("rows", card["data"]["rows"]["test"])
    low, high = accuracy_interval(test["accuracy"], rows)
    lines = [
        "| on the test split | this archive's module | the same in fp32 | its teacher |",
        "|---|---:|---:|---:|",
        _line("accuracy", [test["accuracy"], card["student"]["accuracy"], card["teacher"]["accuracy"]]),
        _line("macro-F1", [test["macro_f1"], card["student"]["macro_f1"], card["teacher"]["macro_f1"]]),
    ]
    told = [f"Measured on {rows:,} rows apart from training; 95 % interval of the accuracy: {low:.1%} to {high:.1%}."]
    if "calibration_error" in test:
        told.append(f"Its confidence is {100 * test['calibration_error']:.1f} points off on average (ECE, 15 bins).")
    if wrong := sum(card["data"].get("counted_as_wrong", {}).values()):
        told.append(f"Of these, {wrong:,} have a label that no training row has, and count as wrong.")
    if (baseline := baseline_accuracy(card["data"])) is not None:
        told.append(f"A linear model on word counts reaches {baseline:.1%}.")
    parts = ["## How good it is", "\n".join(lines), " ".join(told)]
    if against := warnings(card["data"], test["accuracy"]):
        parts.append("\n".join(f"- **{sentence}**" for sentence in against))
    confidence = card.get("confidence", {})
    if "why" in confidence:
        parts.append(f"Its logits are divided by a temperature of {confidence['temperature']:g}: {confidence['why']}.")
    return "\n\n".join(parts)


def _line(name: str, shares: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def _data(data: Mapping[str, Any]) -> str:
    rows = ", ".join(f"{count:,} {split}" for split, count in data["rows"].items())
    told = f"{in_markdown(str(data['origin']))}: {rows} rows."
    if tokens := data["tokens"]:
        told += f" Half of the texts have up to {tokens['p50']} tokens, 99 % up to {tokens['p99']}."
    return f"## Data\n\n{told}"


def _sizes(card: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    modules = ", ".join(f"{size / 1e6:.1f} MB for {device}" for device, size in sizes.items())
    return (
        f"## Size and speed\n\nModules: {modules}; {card['compression']['fp32_bytes'] / 1e6:.1f} MB before compression "
        f"({card['compression']['cpu']['scheme']}). Milliseconds belong to a machine, so there are none here: "
        f"`marwright verify {card['name']}.mar` measures them where it runs."
    )


def _limits(data: Mapping[str, Any]) -> str:
    lines = [
        "It knows no label but those below, and gives one of them to any text, whatever it is about.",
        "It was tested on texts like those it was trained on; of others, other languages among them, nothing is known.",
    ]
    if tokens := data["tokens"]:
        lines.append(
            f"Texts are cut at {tokens['max_length']} tokens ({tokens['cut_share']:.1%} of the data's are longer)."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _labels(labels: Sequence[str], untested: Collection[str]) -> str:
    named = "\n".join(
        f"- {in_markdown(label)}{' (never tested)' if label in untested else ''}" for label in labels[:SHOWN_LABELS]
    )
    rest = f"\n- and {len(labels) - SHOWN_LABELS} more, in `index_to_name.json`" if len(labels) > SHOWN_LABELS else ""
    return f"## Labels\n\n{named}{rest}"
