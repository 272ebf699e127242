"""Tests that measure time have the machine for themselves, and do not wait for ever for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from turns import turn


class Worker(threading.Thread):
    """Takes one turn, and ends it when it is told. Each opens the files anew, as another process would."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        super().__init__(daemon=True)
        self._folder, self._alone = folder, alone
        self.began, self.may_end = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with turn(self._folder, alone=self._alone):
            self.began.set()
            self.may_end.wait(30)

    def end(self) -> None:
        self.may_end.set()
        self.join(30)


def test_others_run_side_by_side_and_wait_for_who_must_be_alone(tmp_path: Path) -> None:
    first, second = Worker(tmp_path, alone=False), Worker(tmp_path, alone=False)
    assert first.began.wait(10)
    assert second.began.wait(10)
    alone = Worker(tmp_path, alone=True)
    assert not alone.began.wait(0.2), "the two are still at work"
    late = Worker(tmp_path, alone=False)
    first.end()
    second.end()
    assert alone.began.wait(10), "who waits to be alone is not passed by those who came later"
    assert not late.began.wait(0.2)
    alone.end()
    assert late.began.wait(10)
    late.end()


def test_a_block_of_a_test_waits_to_be_alone_and_then_lets_others_in_again(tmp_path: Path) -> None:
    other = Worker(tmp_path, alone=False)
    assert other.began.wait(10)
    with turn(tmp_path, alone=False) as own:
        threading.Timer(0.1, other.end).start()
        with own.alone():
            assert other.may_end.is_set(), "nobody else is at work"
            late = Worker(tmp_path, alone=False)
            assert not late.began.wait(0.2)
        assert late.began.wait(10)
        late.end()


def test_two_that_want_to_be_alone_do_so_one_after_the_other(tmp_path: Path) -> None:
    class Measures(threading.Thread):
        def run(self) -> None:
            with turn(tmp_path, alone=False) as own, own.alone():
                inside.append(self)
                assert len(inside) == 1
                time.sleep(0.02)
                inside.remove(self)

    inside: list[Measures] = []
    both = [Measures(daemon=True) for _ in range(4)]
    for each in both:
        each.start()
    for each in both:
        each.join(10)
        assert not each.is_alive()
