"""A folder's lock: one process at a time, and never longer than that process lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from marwright.errors import MarwrightError, ServerError
from marwright.processes.locking import locked

HOLD = """\
import sys, time
from pathlib import Path
from marwright.processes.locking import locked

with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for wait_s in (0, 0.2):
            with pytest.raises(ServerError, match=r"^taken$"), locked(file, "taken", wait_s=wait_s, error=ServerError):
                pass
        holder.kill()
        with locked(file, "taken", wait_s=10):
            assert file.exists()
    assert file.exists(), "it stays for the next one"


def test_a_lock_that_is_not_kept_is_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), locked(file, "taken", keep=False):
        raise ZeroDivisionError
    assert not file.exists()
    with locked(file, "taken", keep=False), pytest.raises(MarwrightError, match="taken"), locked(file, "taken"):
        pass


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(MarwrightError, match=r"lock: cannot be written"), locked(tmp_path / "none" / "lock", "taken"):
        pass
    (tmp_path / "lock").mkdir()
    with pytest.raises(MarwrightError, match=r"lock: cannot be written"), locked(tmp_path / "lock", "taken"):
        pass
    assert not (tmp_path / "none").exists()


def test_of_a_builds_processes_only_the_main_one_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path / "lock", "taken"):
        monkeypatch.setenv("RANK", "1")
        with locked(tmp_path / "lock", "taken"):
            pass
