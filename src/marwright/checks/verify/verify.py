"""The checks of an archive, in their order, and which of them may be made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from marwright.checks.verify import answering, code, contract, integrity
from marwright.checks.verify.report import Outcome, Report, failed, passed, skipped
from marwright.checks.verify.subject import NotThere, Subject
from marwright.errors import ArchiveError
from marwright.mar.reading import unpacked
from marwright.mar.signing import signature_holds, signature_of

IMPORT, WORKER = "handler imports", "worker"

# A new check is a function and a line here. It gets the archive and what earlier checks have found out about it, and
# raises NotThere where it has nothing to look at.
LOOKING: dict[str, Callable[[Subject], Outcome]] = {
    "unpacks": integrity.unpacks,
    "hashes": integrity.hashes,
    "manifest": integrity.manifest,
    "settings": integrity.settings,
    "no pickles": code.no_pickles,
    "TorchScript": code.torchscript,
}
"""Nothing of the archive is run by these."""

RUNNING: dict[str, Callable[[Subject], Outcome]] = {
    IMPORT: contract.handler_imports,
    "handler contract": contract.handler_contract,
    WORKER: answering.worker,
    "golden requests": answering.golden_requests,
    "bad request alone": answering.bad_request_alone,
    "latency": answering.latency,
}
"""These run its code, and only if all before them hold."""


def verify(file: Path, *, public_key: Path | None = None, run: bool = True, run_anyway: bool = False) -> Report:
    """Check an archive, made by marwright or by anybody else.

    What can be said without running it comes first. If one of these checks fails, nothing of it is run.

    Args:
        file: the archive.
        public_key: whose signature must be beside it.
        run: import the handler and start a worker; both run the archive's code.
        run_anyway: also if a check before that has failed, but for the signature's and the manifest's.

    Raises:
        ArchiveError: there is no such file, or it cannot be read.
        SigningError: the public key cannot be read.
    """
    if not file.is_file():
        raise ArchiveError(f"{file}: no such archive. Build one with `marwright build`.")
    # What is signed is what is run, even if somebody replaces the file meanwhile.
    data = None if public_key is None else _bytes(file)
    report = Report(file)
    report.add("signature", _signature(file, data, public_key))
    try:
        with unpacked(file, data) as folder, ExitStack() as stack:
            del data
            subject = Subject(file, folder, stack)
            for name, check in LOOKING.items():
                report.add(name, _outcome(check, subject))
            report.could_execute = code.could_execute(subject)
            why_not = _why_not_to_run(report, run, run_anyway, bool(subject.model))
            for name, check in RUNNING.items():
                report.add(name, skipped(why_not) if why_not else _outcome(check, subject))
            report.latency_ms = subject.latency_ms
    except ArchiveError as error:
        said = str(error).removeprefix(f"{file}: ").removesuffix(" Build it again.")
        report.add("unpacks", failed(said, integrity.REBUILD))
    return report


def _outcome(check: Callable[[Subject], Outcome], subject: Subject) -> Outcome:
    try:
        return check(subject)
    except NotThere as error:
        return skipped(str(error))
    except ArchiveError as error:
        subject.lose_worker()
        return failed(answering.gist(error, subject), "A worker must survive its requests.")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{file}: cannot be read: {error.strerror or error}.") from error


def _why_not_to_run(report: Report, run: bool, run_anyway: bool, has_model: bool) -> str:
    if not run:
        return "--no-run: nothing of it is run"
    if not has_model:
        return "no manifest"
    if report.checks[0].state == "failed":
        return "its signature is wrong: nothing of it is run"
    wrong = [check.name for check in report.failures]
    if wrong and not run_anyway:
        return f"nothing of it is run, since this failed: {', '.join(wrong)}; --run-anyway runs it"
    return ""


def _signature(file: Path, data: bytes | None, public_key: Path | None) -> Outcome:
    signature = signature_of(file)
    if public_key is None:
        there = f"{signature.name} is there" if signature.is_file() else "none asked for"
        return skipped(f"{there}; --public-key KEY.pub checks one")
    if not signature.is_file():
        return failed(f"there is no {signature.name} beside it", "Sign it: `marwright sign ARCHIVE --key KEY`.")
    if not signature_holds(file, public_key, data):
        cure = "Take neither the archive nor its signature from where these came; ask its maker."
        return failed(f"{signature.name} is not the signature of this archive by {public_key.name}", cure)
    return passed(f"every byte is as the owner of {public_key.name} signed it")
