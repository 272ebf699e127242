"""The figures of a run, as its archive's card has them."""

from __future__ import annotations

from typing import Any

CARD: dict[str, Any] = {
    "name": "tickets",
    "version": "1.2",
    "made_by": "marwright 0.1.0",
    "data": {
        "origin": "tickets.csv",
        "rows": {"train": 9000, "validation": 1000, "test": 3080},
        "labels": 3,
        "tokens": {"p50": 13, "p99": 51, "max_length": 64, "cut_share": 0.003},
        "baseline": {"accuracy": 0.8925},
    },
    "teacher": {"accuracy": 0.9338, "macro_f1": 0.9337},
    "student": {"accuracy": 0.9208, "macro_f1": 0.9209},
    "archive": {"accuracy": 0.9205, "macro_f1": 0.9206, "rows": 3080, "calibration_error": 0.0412},
    "compression": {"fp32_bytes": 69_674_804, "cpu": {"scheme": "int8-static"}},
    "module": {"class": "StaticInt8Bert", "method": "script", "runtime": "torchscript"},
}
