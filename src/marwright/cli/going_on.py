"""What a person can do after a command was interrupted, and when one was given without what it is about."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from marwright.config.loading import shipped_names
from marwright.errors import ConfigError

# What these verbs have finished stays, and the same command goes on from there.
RESUMED = ("build", "explore", "report", "export", "rollout", "rollback", "score")
WHAT_STAYS = {
    "build": "finished stations stay, and training goes on from its last epoch",
    "explore": "finished candidates stay",
    "score": "finished parts stay",
    "rollout": "the running server goes on as it is",
    "rollback": "the running server goes on as it is",
}


def after_an_interrupt(arguments: Sequence[str], *, many_processes: bool = False) -> str:
    """The sentence after Ctrl-C, with the command (its words without the program) that goes on if there is one."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    if verb not in RESUMED:
        return "marwright: stopped."
    program = ["accelerate", "launch", "-m", "marwright"] if many_processes else ["marwright"]
    stays = f"; {WHAT_STAYS[verb]}" if verb in WHAT_STAYS else ""
    return f"marwright: stopped{stays}. Go on with: {shlex.join([*program, *arguments])}"


def given(config: str | None, verb: str) -> str:
    """The configuration that a verb is about.

    Raises:
        ConfigError: none was given; the message says which there are and how to make one.
    """
    if config is not None:
        return config
    names = shipped_names()
    raise ConfigError(
        f"Name a configuration: marwright {verb} tickets.yaml. For a table of your own, `marwright init tickets.csv` "
        f"writes one.\nOf those that come with marwright there are {', '.join(names)}: marwright {verb} {names[-1]}"
    )
