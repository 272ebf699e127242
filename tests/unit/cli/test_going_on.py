"""What a person learns where no bar is seen, after Ctrl-C, and from a verb without what it is about."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marwright.cli import building, main
from marwright.cli.app import app
from marwright.cli.going_on import after_an_interrupt
from marwright.console import progress
from marwright.console.heartbeat import QUIET_S, Heartbeat, PipedBar
from marwright.errors import ConfigError, MarwrightError

GOODS = "name: goods\ndata:\n  source: {name: customs}\n"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[tuple[float, str]]:
    return []


@pytest.fixture
def heartbeat(clock: Clock, said: list[tuple[float, str]]) -> Heartbeat:
    return Heartbeat(lambda line: said.append((clock.now, line)), clock, ticking=False)


def pass_seconds(heartbeat: Heartbeat, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        heartbeat.beat()


# --- a line every half minute ------------------------------------------------------------------------------------


def test_a_bar_refuses_what_it_does_not_know() -> None:
    heartbeat = Heartbeat(print, ticking=False)
    with PipedBar(heartbeat) as bar:
        task = bar.add_task("epochs", total=3)
        bar.update(task, completed=1, note="", description="epoch")
        with pytest.raises(TypeError):
            bar.update(task, complete=2)


def test_long_work_is_heard_of_at_least_every_half_minute(
    heartbeat: Heartbeat, clock: Clock, said: list[tuple[float, str]]
) -> None:
    with PipedBar(heartbeat) as bar:
        task = bar.add_task("teacher", total=1000)
        for _ in range(600):
            bar.advance(task)
            pass_seconds(heartbeat, clock, 1)
    pass_seconds(heartbeat, clock, 100)

    times = [100.0, *(at for at, _ in said), 700.0]
    assert max(later - sooner for sooner, later in itertools.pairwise(times)) < 30
    assert said[0][1] == "  teacher: 25 of 1,000, 25 s so far, about 16 min 15 s left"
    assert said[-1][0] <= 700, "work that is over is not spoken of"


def test_work_of_unknown_length_and_notes_are_said(
    heartbeat: Heartbeat, clock: Clock, said: list[tuple[float, str]]
) -> None:
    with heartbeat.over("fitting the last layer"), PipedBar(heartbeat) as bar:
        pass_seconds(heartbeat, clock, 26)
        task = bar.add_task("download", total=None)
        bar.update(task, completed=7.4, note="loss 0.1")
        pass_seconds(heartbeat, clock, 26)
        bar.update(task, total=20)
        pass_seconds(heartbeat, clock, 26)

    assert [line for _, line in said] == [
        "  fitting the last layer: 25 s so far",
        "  download: 7, 24 s so far (loss 0.1)",
        "  download: 7 of 20, 49 s so far, about 1 min 23 s left (loss 0.1)",
    ]


def test_after_another_line_it_is_quiet_for_a_while(
    heartbeat: Heartbeat, clock: Clock, said: list[tuple[float, str]]
) -> None:
    with heartbeat.over("data"):
        for _ in range(10):
            pass_seconds(heartbeat, clock, int(QUIET_S) - 1)
            heartbeat.spoken()

    assert said == []


def test_what_broke_off_inside_is_not_spoken_of(
    heartbeat: Heartbeat, clock: Clock, said: list[tuple[float, str]]
) -> None:
    with heartbeat.over("explore"):
        with suppress(RuntimeError), heartbeat.over("teacher"):
            PipedBar(heartbeat).add_task("epochs", total=9)
            raise RuntimeError
        pass_seconds(heartbeat, clock, 26)

    assert [line for _, line in said] == ["  explore: 25 s so far"]


def test_it_looks_by_itself_and_ends_with_the_work(clock: Clock) -> None:
    heard = []
    heartbeat = Heartbeat(heard.append, clock)
    with heartbeat.over("verify"):
        thread = heartbeat._thread
        assert thread is not None
        clock.now += 60
        while not heard:
            thread.join(0.05)
    thread.join(10)

    assert not thread.is_alive()
    assert heard[0] == "  verify: 1 min 0 s so far"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, heartbeat: Heartbeat) -> Iterator[None]:
    """What marwright has where standard error is a file."""
    monkeypatch.setattr(progress, "heartbeat", lambda: heartbeat)
    progress.console.cache_clear()
    yield
    progress.console.cache_clear()


@pytest.mark.usefixtures("piped")
def test_every_way_to_show_progress_is_heard_where_it_is_not_seen(
    heartbeat: Heartbeat, clock: Clock, said: list[tuple[float, str]]
) -> None:
    with progress.waiting("starting") as wait:
        wait.update("starting TorchServe")
        pass_seconds(heartbeat, clock, 30)
        wait.stop()
        pass_seconds(heartbeat, clock, 30)
    with progress.working("exported"):
        pass_seconds(heartbeat, clock, 30)
    for _ in progress.track(range(2), "encoding", total=2):
        pass_seconds(heartbeat, clock, 30)

    assert [line.split(":")[0].strip() for _, line in said] == [
        "starting TorchServe",
        "exported",
        "encoding",
        "encoding",
    ]


# --- Ctrl-C ------------------------------------------------------------------------------------------------------


def test_after_an_interrupt_the_command_that_goes_on_is_given() -> None:
    assert after_an_interrupt(["build", "my goods.yaml", "--set", "teacher.epochs=3"]) == (
        "marwright: stopped; finished stations stay, and training goes on from its last epoch. "
        "Go on with: marwright build 'my goods.yaml' --set teacher.epochs=3"
    )
    assert "Go on with: accelerate launch -m marwright build x" in after_an_interrupt(
        ["build", "x"], many_processes=True
    )
    assert after_an_interrupt(["bench", "http://localhost"]) == "marwright: stopped."
    assert after_an_interrupt([]) == "marwright: stopped."


def test_an_interrupted_build_says_so_and_leaves_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "goods.yaml"
    file.write_text(GOODS, encoding="utf-8")
    monkeypatch.setattr(building, "build_archive", interrupted)
    monkeypatch.setattr(sys, "argv", ["marwright", "build", str(file)])
    progress.console.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 130
    assert f"Go on with: marwright build {file}" in capfd.readouterr().err


# --- without a configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["build", "explore", "report"])
def test_without_a_configuration_a_verb_explains_and_trains_nothing(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raised = CliRunner().invoke(app, [verb]).exception

    assert isinstance(raised, ConfigError)
    assert isinstance(raised, MarwrightError)
    assert raised.exit_code == 2
    for word in ("marwright init", "abo", "banking77", "customs", f"marwright {verb} customs"):
        assert word in str(raised)
    assert not list(tmp_path.iterdir())
