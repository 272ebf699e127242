"""The errors a user can cause and cure. Raised where they are found, printed once by the command line."""

from __future__ import annotations


class MarwrightError(Exception):
    """A problem the user can fix. ``str(error)`` is one or two lines naming the file and the cure."""

    exit_code = 2


class ConfigError(MarwrightError):
    """The configuration file is missing, unreadable or says something marwright does not understand."""


class DataError(MarwrightError):
    """The labelled rows cannot be used as they are."""


class CheckpointError(MarwrightError):
    """A pretrained checkpoint cannot be found or is not what it claims to be."""


class TrainingError(MarwrightError):
    """A teacher or student cannot be trained as configured."""


class CompressionError(MarwrightError):
    """A model cannot be compressed as configured."""


class ExportError(MarwrightError):
    """The exported module does not answer as the model it was made from."""


class ArchiveError(MarwrightError):
    """An archive cannot be written, read or run."""


class RequestError(MarwrightError):
    """A loaded model cannot answer what it is asked."""


class ServerError(MarwrightError):
    """TorchServe cannot be started, reached or stopped."""


class SigningError(MarwrightError):
    """A key cannot be made or used, or there is nothing to sign."""


class LintError(MarwrightError):
    """A file cannot be linted."""


class PromiseError(MarwrightError):
    """What was asked of a model was measured, and is not kept."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """The first line of what another library says, without its full stop, or the error's kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__
