"""A new version onto a running server: checked, registered, tried beside the old one, and then made the default."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from marwright.console.progress import say, waiting
from marwright.errors import ServerError
from marwright.files import sha256_of
from marwright.processes.interrupts import interruptible
from marwright.release.canary import Trial, rate_for, trial
from marwright.release.candidate import Candidate
from marwright.release.draining import drained
from marwright.release.labels import change_of, labels_of
from marwright.release.live_server import LiveServer
from marwright.release.plan import Outcome, Plan
from marwright.release.predictions import Caller, wrong_answers
from marwright.release.snapshot import snapshot_of
from marwright.release.store import Store
from marwright.release.verdict import objections
from marwright.release.workers import calmly, require_memory, start_workers, workers_for
from marwright.server.failure import StartLog
from marwright.server.versions import Version, Versions


def release(
    archive: Path, server: LiveServer, plan: Plan, *, texts: Sequence[str] = (), public_key: Path | None = None
) -> Outcome:
    """Replace a model's version by the one in an archive, while the server answers.

    Until the new version is the default one, whatever goes wrong, and Ctrl-C or SIGTERM, leave the old one answering as
    before and the new one withdrawn. A server that a kill has left in the middle is put in order by the next call.

    All is done with a private copy of the archive and its signature: what is verified is what is served and kept, even
    if somebody replaces the file meanwhile.

    Args:
        archive: the new version, a ``.mar`` file of a model that the server serves.
        server: which one.
        plan: how it is tried.
        texts: what is sent in the trial; by default the texts of the archive's golden requests.
        public_key: whose signature must be beside the archive.

    Returns:
        What was done. If ``accepted``, the new version is the default and what a restart serves, and the old one stays
        registered with its workers until :func:`marwright.release.retire`.

    Raises:
        ArchiveError: the archive cannot be read or copied, or its name or version cannot be part of a path.
        ServerError: the server cannot be reached, does not let models be registered, does not serve this model, or has
            a third version of it; or another rollout is at work.
    """
    with interruptible(), snapshot_of(archive) as snapshot:
        rollout = _Release(Candidate.read(snapshot, texts), server, plan, public_key)
        with rollout.store.alone():
            return rollout.run()


class _Release:
    """One call of :func:`release`: what its steps share."""

    def __init__(self, candidate: Candidate, server: LiveServer, plan: Plan, public_key: Path | None) -> None:
        self.candidate, self.server, self.plan, self.public_key = candidate, server, plan, public_key
        self.snapshot, self.archive = candidate.snapshot, candidate.snapshot.origin
        self.name, self.new = candidate.model, candidate.version
        self.versions = Versions(server, self.name)
        self.store = Store(server.model_store, self.name)
        self.caller = Caller(server, self.name)
        self.trained_on: list[bool] | None = None
        self.canary: Trial | None = None

    def run(self) -> Outcome:
        old = self.versions.default()
        self.outcome = Outcome(self.name, self.new, old.name, texts=len(self.candidate.texts))
        if old.name == self.new:
            return self._go_on()
        self.server.require_registering()
        self._put_in_order(old)
        workers = workers_for(self.snapshot.file, old, self.plan.workers)
        require_memory(old, workers)
        self._step("labels", lambda: self._other_labels(old))
        self._step("verified", self._verify)
        if not self.outcome.reasons:
            self._recognise()
        try:
            self._step("ready", lambda: self._bring_up(workers))
            self._step("golden", lambda: wrong_answers(self.caller, self.new, self.candidate.golden))
            if self.plan.canary_s:
                self._step("canary", lambda: self._canary(old))
        except BaseException:
            # The first error is the one to tell; one of a server that is gone would hide it.
            with suppress(ServerError):
                self._withdraw()
            raise
        if not self.outcome.reasons:
            self._make_default(old.name)
        else:
            self._withdraw()
        self._warn_of_restart()
        return self.outcome

    def _step(self, name: str, work: Callable[[], list[str]]) -> None:
        """Do one step, unless something speaks against the version already, and note how long it took."""
        if not self.outcome.reasons:
            started = time.monotonic()
            self.outcome.reasons += work()
            self.outcome.seconds[name] = round(time.monotonic() - started, 2)

    # --- before the new version is the default one -----------------------------------------------------------------

    def _put_in_order(self, old: Version) -> None:
        """Clear away what a rollout that was killed has left of this version; take no third one in."""
        self.store.in_sight()
        for other in self.versions.all():
            if other.name == old.name:
                continue
            if other.name != self.new:
                raise ServerError(
                    f"{self.name} {other.name} is still registered beside {old.name}, the default: "
                    f"`marwright retire {self.name}` ends it."
                )
            say(f"{self.candidate} is registered already without being the default: it is begun anew")
            if not self._withdraw():
                raise ServerError(f"{self.candidate} cannot be begun anew while somebody asks it.")

    def _other_labels(self, old: Version) -> list[str]:
        before, new = self.store.archive_of(old.name), labels_of(self.snapshot.file)
        if before is None:
            if new is not None:
                say(f"{self.server.model_store} has no archive of {self.name} {old.name}: the labels are not compared")
            return []
        change = change_of(labels_of(before), new)
        if change is not None and self.plan.allow_label_change:
            say(f"{self.candidate} has other labels than {old.name}: {change}")
        elif change is not None:
            return [f"its labels are not those of {old.name}: {change}. --allow-label-change takes them"]
        return []

    def _verify(self) -> list[str]:
        from marwright.checks.verify import verify  # going back in a hurry need not wait for it

        with waiting(f"verifying {self.archive}"):
            report = calmly(lambda: verify(self.snapshot.file, public_key=self.public_key))
        if report.holds:
            say(f"{self.archive}: all that was checked holds")
        return [self.snapshot.told(f"{check.name}: {check.detail}") for check in report.failures]

    def _recognise(self) -> None:
        """Find out on which of the texts the model was trained; before the checks nothing of the archive is trusted."""
        self.trained_on = self.candidate.trained_on()
        if self.trained_on is not None:
            self.outcome.texts_trained_on = sum(self.trained_on)

    def _bring_up(self, workers: int) -> list[str]:
        log = StartLog(self.server.logs) if self.server.logs else None
        self.versions.register(self.store.take_in(self.snapshot.file, self.new, self.snapshot.digest))
        with waiting(f"{self.candidate}: waiting for {workers} workers to be ready"):
            failure = start_workers(self.versions, self.new, workers, log, self.plan.ready_s)
        if failure is not None:
            return [failure]
        say(f"{self.candidate} is ready with {workers} workers; {self.outcome.previous} answers")
        return []

    def _canary(self, old: Version) -> list[str]:
        rate = self._rate(self.plan.canary_s)
        say(
            f"canary: {rate:.0f} texts/s to {old.name} and to {self.new} for {self.plan.canary_s:g} s; a proxy may "
            f"send a share of its requests to {self.caller.path(self.new)} meanwhile"
        )
        with waiting(f"{self.candidate}: canary"):
            self.canary = self._trial(old.name, self.new, rate, self.plan.canary_s)
        self.outcome.canary = self.canary.compared
        return objections(self.canary.compared, self.plan.limits)

    def _trial(self, old: str, new: str | None, rate: float, seconds: float) -> Trial:
        texts, task, known = self.candidate.texts, self.candidate.task, self.trained_on or ()
        return trial(self.caller, old, new, texts, task, rate=rate, seconds=seconds, trained_on=known)

    def _rate(self, seconds: float) -> float:
        return rate_for(self.caller, share=self.plan.share, least=self.plan.least_rate, seconds=seconds)

    def _withdraw(self) -> bool:
        """Unregister the new version, which is not the default, and remove what was copied for it.

        Returns:
            False if it had to stay since somebody asks it by its path, and would get errors.
        """
        if self.versions.get(self.new) is not None:
            if not drained(self.versions, self.new, asked=self.caller.asked(self.new)):
                say(
                    f"{self.candidate} is still registered, since {self.caller.path(self.new)} is still asked: "
                    f"stop whoever does; `marwright retire {self.name}` then ends it"
                )
                return False
            self.versions.unregister(self.new)
            say(f"{self.candidate} is withdrawn; {self.outcome.previous} answers")
        self.store.clear_away(self.new, but=self.archive)
        return True

    def _warn_of_restart(self) -> None:
        """Tell if the store holds the refused version where a restart finds it: it was built right there."""
        in_sight = self.store.version_in_sight()
        if not self.outcome.accepted and in_sight == self.new:
            say(
                f"{self.store.in_sight()} is {self.candidate}, and a restart would serve it: put the archive of "
                f"{self.outcome.previous} in its place"
            )

    # --- from the moment it is ----------------------------------------------------------------------------------------

    def _make_default(self, old: str) -> None:
        self.store.remember(previous=old, current=self.new)
        self.versions.make_default(self.new)
        say(f"{self.candidate} is the default now; {old} keeps its workers")
        self._watch_and_finish(old)

    def _watch_and_finish(self, old: str) -> None:
        """Go back if the new version does worse as the default; otherwise have a restart serve it too."""
        if self.plan.watch_s:
            try:
                self._step("watch", self._watch)
            except KeyboardInterrupt:
                say(
                    f"{self.candidate} is the default, but was not watched to the end: the same command goes on, "
                    f"`marwright rollback {self.name}` goes back"
                )
                raise
        if not self.outcome.reasons:
            if self.store.version_in_sight() != self.new:
                # Again: since it was taken in, others may have had a hand on the store.
                self.store.keep(self.snapshot.file, self.new, self.snapshot.digest)
            self.store.put_in_sight(self.new)
            self.outcome.accepted = True
            return
        self.versions.make_default(old)
        self.store.forget()
        say(f"{self.name} {old} is the default again")
        # It may have live requests in hand, which are not counted for its path.
        drained(self.versions, self.new)
        self._withdraw()

    def _watch(self) -> list[str]:
        with waiting(f"{self.candidate}: watching it as the default"):
            rate = self._rate(self.plan.watch_s)
            watched = self._trial(self.outcome.previous, None, rate, self.plan.watch_s).against(self.canary)
        self.outcome.watch = watched.compared
        return objections(watched.compared, self.plan.limits)

    def _go_on(self) -> Outcome:
        """The version is the default one already: finish what an earlier call began, if it did not."""
        own = [file for file in (self.store.archive(self.new), self.store.in_sight()) if file.is_file()]
        if self.store.archive_of(self.new) is None:
            raise ServerError(
                f"{self.candidate} is the default already, and {self.store.folder} does not hold its archive: "
                f"name the folder that the server loads from with --model-store."
            )
        if not any(sha256_of(file) == self.snapshot.digest for file in own):
            raise ServerError(
                f"{self.candidate} is the default already, made from another archive than {self.archive}. "
                f"Give the new one another version: archive.version."
            )
        say(f"{self.candidate} is the default already")
        noted, in_sight = self.store.recall(), self.store.version_in_sight()
        previous = self.versions.get(noted[0]) if noted and noted[1] == self.new else None
        if previous is None or (in_sight == self.new):
            self.store.put_in_sight(self.new)
            self.outcome.accepted = True
            return self.outcome
        self.outcome.previous = previous.name
        self._recognise()
        self._watch_and_finish(previous.name)
        return self.outcome
