"""What surrounds ``transformers.Trainer``: a bar while it trains, the checkpoint it goes on from, and its history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from marwright.console.progress import progress_bar, say
from marwright.processes.launched import is_main


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """A live bar on a terminal, and one line an epoch everywhere."""

    def __init__(self, what: str, figures: Mapping[str, str]) -> None:
        self.what = what
        self.figures = figures
        self.bar = progress_bar()
        self.loss = float("nan")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if is_main():
            self.bar.start()
        self.task = self.bar.add_task(self.what, total=state.max_steps, completed=state.global_step, note="")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)
        self.bar.update(self.task, note=f"loss {self.loss:.3f}")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        told = ", ".join(f"{name} {(metrics or {})[f'eval_{key}']:.1%}" for key, name in self.figures.items())
        epoch = f"epoch {round(state.epoch or 0)} of {args.num_train_epochs}"
        say(f"  {self.what}: {epoch}, loss {self.loss:.3f}, validation {told}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.stop()


def last_checkpoint(work: Path) -> Path | None:
    """The last whole checkpoint that a killed run has left; a half-written one does not count."""
    found = sorted(work.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]), reverse=True)
    return next((folder for folder in found if _is_whole(folder)), None)


def _is_whole(checkpoint: Path) -> bool:
    """Trainer writes the state after the weights and the optimizer."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def history_of(log: list[dict[str, float]], followed: Iterable[str]) -> list[dict[str, float]]:
    """One entry per epoch from Trainer's log: mean training loss, validation loss and scores."""
    epochs = []
    losses: list[float] = []
    for entry in log:
        if "loss" in entry:
            losses.append(entry["loss"])
        elif "eval_loss" in entry:
            about = {"epoch": round(entry["epoch"]), "train_loss": round(float(np.mean(losses)), 5)}
            scores = {score: round(entry[f"eval_{score}"], 5) for score in followed}
            epochs.append(about | scores | {"validation_loss": round(entry["eval_loss"], 5)})
            losses = []
    return epochs
