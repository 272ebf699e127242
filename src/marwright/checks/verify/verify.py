"""The order of the checks, and which of them need which."""

from __future__ import annotations

from pathlib import Path

from marwright.checks.budget import Budget
from marwright.checks.lint import lint_archive
from marwright.checks.verify.answering import GOLDEN, LATENCY, NEIGHBOURS, WORKER, check_answers
from marwright.checks.verify.code import code_in
from marwright.checks.verify.contract import CONTRACT, IMPORT, check_contract
from marwright.checks.verify.integrity import REBUILD, check_hashes, check_manifest, files_in
from marwright.checks.verify.report import Check, Report, failed, passed, skipped
from marwright.errors import ArchiveError, LintError
from marwright.mar.reading import unpacked
from marwright.mar.signing import signature_holds, signature_of

SETTINGS = "settings"


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
    report = Report(file, [_check_signature(file, data, public_key)])
    running = [IMPORT, CONTRACT, WORKER, GOLDEN, NEIGHBOURS, LATENCY]
    try:
        with unpacked(file, data) as folder:
            del data
            names = files_in(folder)
            size = sum((folder / name).stat().st_size for name in names)
            report.checks.append(passed("unpacks", f"{len(names)} files, {size / 1e6:.1f} MB, none outside its folder"))
            report.checks.append(check_hashes(folder))
            manifest, model = check_manifest(folder)
            report.checks += [manifest, _check_settings(file, folder) if model else skipped(SETTINGS, "no manifest")]
            code, report.could_execute = code_in(folder, Budget(size), model.get("requirementsFile"))
            report.checks += code
            why_not = _why_not_to_run(report, run, run_anyway, bool(model))
            if why_not:
                report.checks += [skipped(name, why_not) for name in running]
                return report
            report.checks += check_contract(folder, model["handler"])
            if report.checks[-1].state == "passed":
                check_answers(file, folder, report)
            else:
                report.checks += [skipped(name, "no handler") for name in running[2:]]
    except ArchiveError as error:
        said = str(error).removeprefix(f"{file}: ").removesuffix(" Build it again.")
        report.checks.append(failed("unpacks", said, REBUILD))
    return report


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
    wrong = [check.name for check in report.checks if check.state == "failed"]
    if wrong and not run_anyway:
        return f"nothing of it is run, since this failed: {', '.join(wrong)}; --run-anyway runs it"
    return ""


def _check_signature(file: Path, data: bytes | None, public_key: Path | None) -> Check:
    name = "signature"
    signature = signature_of(file)
    if public_key is None:
        there = f"{signature.name} is there" if signature.is_file() else "none asked for"
        return skipped(name, f"{there}; --public-key KEY.pub checks one")
    cure = "Take neither the archive nor its signature from where these came; ask its maker."
    if not signature.is_file():
        return failed(name, f"there is no {signature.name} beside it", "Sign it: `marwright sign ARCHIVE --key KEY`.")
    if not signature_holds(file, public_key, data):
        return failed(name, f"{signature.name} is not the signature of this archive by {public_key.name}", cure)
    return passed(name, f"every byte is as the owner of {public_key.name} signed it")


def _check_settings(file: Path, folder: Path) -> Check:
    try:
        found = lint_archive(file, folder)
    except (LintError, ArchiveError) as error:
        return failed(SETTINGS, str(error).removeprefix(f"{file}: "), "Mend its model-config.yaml and pack it again.")
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        return failed(SETTINGS, "; ".join(finding.reason for finding in errors), errors[0].cure)
    if found:
        return passed(SETTINGS, f"no error, {len(found)} to think about: `marwright lint ARCHIVE`")
    return passed(SETTINGS, "TorchServe will read its model-config.yaml as it is meant")
