"""The report of a check, for people: one table of the parts, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TIMED = ("handler", "eager", "onnx", "compile")


def markdown(report: dict[str, Any]) -> str:
    """A report of archive, device and when, and of each part's state, seconds, and what was found or why not."""
    parts = report["parts"]
    lines = [
        f"# {report['archive']} on {report['device']}",
        "",
        f"torch {report['torch']}, CUDA {report['cuda']}, {report['began']}. "
        + ("Whole times lie in turns on the same machine." if report["on_a_gpu"] else "A rehearsal without a GPU."),
        "",
        "| part | | seconds | |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {each['state']} | {each['seconds']} | {_cell(each.get('why') or _in_short(name, each['found']))} |"
        for name, each in parts.items()
    ]
    done = {name: each["found"] for name, each in parts.items() if each["state"] == "done"}
    if any(name in done for name in TIMED):
        lines += [
            "",
            "| texts to JSON | calls | p50 ms | p99 ms | texts/s | times marwright's |",
            "|---|---|---|---|---|---|",
        ]
        lines += [row for name in TIMED if name in done for row in _timing(done[name])]
    if "handler" in done:
        lines += list(_busy(done["handler"]))
    return "\n".join(lines) + "\n"


def _in_short(name: str, found: dict[str, Any]) -> str:
    """What a part says in one line."""
    if name == "machine":
        return ", ".join(found.get("nvidia-smi", [])[1:]) or f"Python {found['python']}"
    if name == "correctness":
        others = {"with_fp32": "the student in float32", "with_cpu": "the CPU's module"}
        said = [f"{found[key]['same_label']:.2%} as {what}" for key, what in others.items() if key in found]
        return f"the same label on {', '.join(said)} of {found['texts']} texts"
    if name == "graphs":
        return f"{len(found['recorded'])} proven in {found['megabytes']} MB, {len(found['left_out'])} left out"
    if name == "tests":
        return str(found["result"])
    if name == "serving":
        return _served(found)
    return ", ".join(_times(found))


def _served(found: dict[str, Any]) -> str:
    first, promise = found["first"], found["promise_ms"]
    said = (
        f"{first['offered_rate']:,.0f} requests/s: p99 {first['latency_ms']['p99']} ms; "
        f"p99 < {promise:g} ms kept up to {found['highest_rate']:,.0f} requests/s"
    )
    if found["missed_at"] is not None:
        said += f", missed at {found['missed_at']:,.0f}"
    if "gpu_megabytes_taken" in found:
        said += f"; its workers have {found['gpu_megabytes_taken']} MB of the GPU"
    return said


def _times(found: dict[str, Any]) -> Iterator[str]:
    for batch, about in found.items():
        for way, each in about["ways"].items():
            if way != "marwright" or len(about["ways"]) == 1:
                ratio = each["p50_ms"] / about["ways"]["marwright"]["p50_ms"]
                yield f"{batch}: {each['p50_ms']} ms" + (
                    "" if way == "marwright" else f", {ratio:.2f} times marwright's"
                )


def _timing(found: dict[str, Any]) -> Iterator[str]:
    for batch, about in found.items():
        base = about["ways"]["marwright"]["p50_ms"]
        for way, each in about["ways"].items():
            yield (
                f"| {batch}: {way} | {each['calls']} | {each['p50_ms']:.3f} | {each['p99_ms']:.3f} | "
                f"{each['texts_per_second']:,.0f} | {each['p50_ms'] / base:.2f} |"
            )


def _busy(found: dict[str, Any]) -> Iterator[str]:
    for batch, about in found.items():
        if "device_ms" in about:
            yield f"\n{batch}: the GPU itself is busy for {about['device_ms']:.3f} ms."
        if "t4_ms" in about:
            estimate = about["t4_ms"]
            yield f"On a T4, estimated: {estimate['least']} to {estimate['most']} ms. {estimate['formula']}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
