"""A new version onto a running server: checked, registered, tried beside the old one, and then made the default."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from marwright.console.progress import say, waiting
from marwright.errors import ArchiveError, ServerError
from marwright.files import sha256_of
from marwright.mar.reading import describe
from marwright.mar.training_digests import TrainingDigests
from marwright.processes.interrupts import interruptible
from marwright.release.canary import Trial, rate_for, try_beside, try_default
from marwright.release.draining import drained
from marwright.release.golden import golden_of, wrong_answers
from marwright.release.labels import change_of, labels_of
from marwright.release.live_server import Served
from marwright.release.plan import Outcome, Plan
from marwright.release.predictions import Caller
from marwright.release.snapshot import PrivateCopy, private_copy
from marwright.release.store import Store
from marwright.release.verdict import objections
from marwright.release.workers import calmly, require_memory, start_workers, workers_for
from marwright.server.failure import StartLog
from marwright.server.versions import Version, Versions

# A model's name and version become part of a path and of a file's name, in an archive that anybody may have made.
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][\w.+]*", re.ASCII)  # without the hyphen that divides the two


def release(
    archive: Path, served: Served, plan: Plan, *, texts: Sequence[str] = (), public_key: Path | None = None
) -> Outcome:
    """Replace a model's version by the one in an archive, while the server answers.

    Until the new version is the default one, whatever goes wrong, and Ctrl-C or SIGTERM, leave the old one answering as
    before and the new one withdrawn. A server that a kill has left in the middle is put in order by the next call.

    All is done with a private copy of the archive and its signature: what is verified is what is served and kept, even
    if somebody replaces the file meanwhile.

    Args:
        archive: the new version, a ``.mar`` file of a model that the server serves.
        served: the server.
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
    with interruptible(), private_copy(archive) as copy:
        return _Release(copy, served, plan, texts, public_key).run()


class _Release:
    """One call of :func:`release`: what its steps share."""

    def __init__(
        self, copy: PrivateCopy, served: Served, plan: Plan, texts: Sequence[str], public_key: Path | None
    ) -> None:
        archive = copy.origin
        model = describe(copy.file)["manifest"]["model"]
        self.name, self.new = model["modelName"], str(model.get("modelVersion") or "1.0")
        for what, written, pattern in (("name", self.name, _NAME), ("version", self.new, _VERSION)):
            if not pattern.fullmatch(written) or ".." in written:
                raise ArchiveError(
                    f"{archive}: {written!r} cannot be a model's {what} here, since it becomes part of a file's name: "
                    f"letters, digits and dots. Build it again with another."
                )
        self.copy, self.archive, self.served, self.plan, self.public_key = copy, archive, served, plan, public_key
        self.versions = Versions(served.manager, self.name)
        self.store = Store(served.model_store, self.name)
        self.caller = Caller(served.inference, self.name, served.key_file)
        self.golden = golden_of(copy.file)
        self.texts = texts or [request["text"] for request in self.golden]
        if not self.texts:
            raise ArchiveError(f"{archive} has no golden requests to take texts from: give --texts FILE.")
        self.trained_on: list[bool] | None = None

    def run(self) -> Outcome:
        with self.store.alone():
            return self._run()

    def _run(self) -> Outcome:
        old = self.versions.default()
        self.outcome = Outcome(self.name, self.new, old.name, texts=len(self.texts))
        if old.name == self.new:
            return self._go_on()
        self.versions.require_registering()
        self._put_in_order(old)
        workers = workers_for(self.copy.file, old, self.plan.workers)
        require_memory(old, workers)
        self._step("labels", lambda: self._other_labels(old))
        self._step("verified", self._verify)
        if not self.outcome.reasons:
            self._recognise()
        trial = None
        try:
            self._step("ready", lambda: self._bring_up(workers))
            self._step("golden", lambda: wrong_answers(self.caller, self.new, self.golden))
            if self.plan.canary_s and not self.outcome.reasons:
                trial = self._try_beside(old)
        except BaseException:
            # The first error is the one to tell; one of a server that is gone would hide it.
            with suppress(ServerError):
                self._withdraw()
            raise
        if not self.outcome.reasons:
            self._make_default(old.name, trial)
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
            say(f"{self.name} {self.new} is registered already without being the default: it is begun anew")
            if not self._withdraw():
                raise ServerError(f"{self.name} {self.new} cannot be begun anew while somebody asks it.")

    def _other_labels(self, old: Version) -> list[str]:
        before, new = self.store.archive_of(old.name), labels_of(self.copy.file)
        if before is None:
            if new is not None:
                say(f"{self.served.model_store} has no archive of {self.name} {old.name}: the labels are not compared")
            return []
        change = change_of(labels_of(before), new)
        if change is not None and self.plan.allow_label_change:
            say(f"{self.name} {self.new} has other labels than {old.name}: {change}")
        elif change is not None:
            return [f"its labels are not those of {old.name}: {change}. --allow-label-change takes them"]
        return []

    def _verify(self) -> list[str]:
        from marwright.checks.verify import verify  # going back in a hurry need not wait for it

        with waiting(f"verifying {self.archive}"):
            report = calmly(lambda: verify(self.copy.file, public_key=self.public_key))
        failed = [check for check in report.checks if check.state == "failed"]
        if not failed:
            say(f"{self.archive}: all that was checked holds")
        return [self.copy.told(f"{check.name}: {check.detail}") for check in failed]

    def _recognise(self) -> None:
        """Find out on which of the texts the model was trained; before the checks nothing of the archive is trusted."""
        digests = TrainingDigests.in_archive(self.copy.file)
        if digests is not None:
            self.trained_on = digests.recognise(self.texts)
            self.outcome.texts_trained_on = sum(self.trained_on)

    def _bring_up(self, workers: int) -> list[str]:
        log = StartLog(self.served.logs) if self.served.logs else None
        self.versions.register(self.store.take_in(self.copy.file, self.new, self.copy.digest))
        with waiting(f"{self.name} {self.new}: waiting for {workers} workers to be ready"):
            failure = start_workers(self.versions, self.new, workers, log, self.plan.ready_s)
        if failure is None:
            say(f"{self.name} {self.new} is ready with {workers} workers; {self.outcome.previous} answers")
        return [failure] if failure else []

    def _try_beside(self, old: Version) -> Trial:
        started = time.monotonic()
        path, seconds = self.caller.path(self.new), self.plan.canary_s
        rate = self._rate(seconds)
        say(
            f"canary: {rate:.0f} texts/s to {old.name} and to {self.new} for {seconds:g} s; a proxy may send a share "
            f"of its requests to {path} meanwhile"
        )
        with waiting(f"{self.name} {self.new}: canary"):
            trial = try_beside(
                self.caller,
                self.served.metrics,
                old.name,
                self.new,
                self.texts,
                rate=rate,
                seconds=seconds,
                trained_on=self.trained_on or (),
            )
        self.outcome.canary = trial.compared
        self.outcome.reasons += objections(trial.compared, self.plan.limits)
        self.outcome.seconds["canary"] = round(time.monotonic() - started, 2)
        return trial

    def _rate(self, seconds: float) -> float:
        return rate_for(
            self.caller, self.served.metrics, share=self.plan.share, least=self.plan.least_rate, seconds=seconds
        )

    def _withdraw(self) -> bool:
        """Unregister the new version, which is not the default, and remove what was copied for it.

        Returns:
            False if it had to stay since somebody asks it by its path, and would get errors.
        """
        if self.versions.get(self.new) is not None:
            if not drained(self.versions, self.served.metrics, self.new, asked=self.caller.asked(self.new)):
                say(
                    f"{self.name} {self.new} is still registered, since {self.caller.path(self.new)} is still asked: "
                    f"stop whoever does; `marwright retire {self.name}` then ends it"
                )
                return False
            self.versions.unregister(self.new)
            say(f"{self.name} {self.new} is withdrawn; {self.outcome.previous} answers")
        self.store.clear_away(self.new, but=self.archive)
        return True

    def _warn_of_restart(self) -> None:
        """Tell if the store holds the refused version where a restart finds it: it was built right there."""
        in_sight = self.store.version_in_sight()
        if not self.outcome.accepted and in_sight == self.new:
            say(
                f"{self.store.in_sight()} is {self.name} {self.new}, and a restart would serve it: put the archive of "
                f"{self.outcome.previous} in its place"
            )

    # --- from the moment it is ----------------------------------------------------------------------------------------

    def _make_default(self, old: str, trial: Trial | None) -> None:
        self.store.remember(previous=old, current=self.new)
        self.versions.make_default(self.new)
        say(f"{self.name} {self.new} is the default now; {old} keeps its workers")
        self._watch_and_finish(old, trial)

    def _watch_and_finish(self, old: str, trial: Trial | None) -> None:
        """Go back if the new version does worse as the default; otherwise have a restart serve it too."""
        if self.plan.watch_s:
            try:
                self._step("watch", lambda: self._watch(trial))
            except KeyboardInterrupt:
                say(
                    f"{self.name} {self.new} is the default, but was not watched to the end: the same command goes on, "
                    f"`marwright rollback {self.name}` goes back"
                )
                raise
        if not self.outcome.reasons:
            if self.store.version_in_sight() != self.new:
                # Again: since it was taken in, others may have had a hand on the store.
                self.store.keep(self.copy.file, self.new, self.copy.digest)
            self.store.put_in_sight(self.new)
            self.outcome.accepted = True
            return
        self.versions.make_default(old)
        self.store.forget()
        say(f"{self.name} {old} is the default again")
        # It may have live requests in hand, which are not counted for its path.
        drained(self.versions, self.served.metrics, self.new)
        self._withdraw()

    def _watch(self, trial: Trial | None) -> list[str]:
        seconds = self.plan.watch_s
        with waiting(f"{self.name} {self.new}: watching it as the default"):
            rate = self._rate(seconds)
            watched = try_default(
                self.caller,
                self.served.metrics,
                self.outcome.previous,
                self.texts,
                trial,
                rate=rate,
                seconds=seconds,
                trained_on=self.trained_on or (),
            )
        self.outcome.watch = watched.compared
        return objections(watched.compared, self.plan.limits)

    def _go_on(self) -> Outcome:
        """The version is the default one already: finish what an earlier call began, if it did not."""
        own = [file for file in (self.store.archive(self.new), self.store.in_sight()) if file.is_file()]
        if not any(sha256_of(file) == self.copy.digest for file in own):
            raise ServerError(
                f"{self.name} {self.new} is the default already, made from another archive than {self.archive}. "
                f"Give the new one another version: archive.version."
            )
        say(f"{self.name} {self.new} is the default already")
        noted, in_sight = self.store.recall(), self.store.version_in_sight()
        previous = self.versions.get(noted[0]) if noted and noted[1] == self.new else None
        if previous is None or (in_sight == self.new):
            self.store.put_in_sight(self.new)
            self.outcome.accepted = True
            return self.outcome
        self.outcome.previous = previous.name
        self._recognise()
        self._watch_and_finish(previous.name, None)
        return self.outcome
