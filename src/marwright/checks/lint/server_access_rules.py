"""The rules for who can reach a server and what they can do there: one function each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import ServerSettings, is_from_environment

DEFAULT_ALLOWED_URLS = "file://.*|http(s)?://.*"
# Of one pattern; a longer one, or one that takes longer, is not for one place.
LONGEST_PATTERN, PATIENCE_S = 500, 0.2
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)|\\.", re.DOTALL)
STRANGERS = ("http://example.com/a.mar", "https://example.com/a.mar", "file:///tmp/a.mar", "s3://example/a.mar")


def open_to_the_network_without_tokens(settings: ServerSettings) -> Problems:
    if not settings.asks_for_tokens:
        for key, _ in settings.open_addresses():
            if key != "metrics_address":
                reason = f"{key} is open to other machines, and disable_token_authorization=true lets everybody in"
                yield Problem(key, reason, "bind it to 127.0.0.1 behind a proxy, or turn tokens on")


def model_api_without_tokens(settings: ServerSettings) -> Problems:
    if settings.true("enable_model_api") and not settings.asks_for_tokens:
        reason = "everybody who reaches the management port can register a model, and a model is code that runs here"
        yield Problem("enable_model_api", reason, "enable_model_api=false, or disable_token_authorization=false")


def open_allowed_urls_with_model_api(settings: ServerSettings) -> Problems:
    return _open_allowed_urls(settings) if settings.true("enable_model_api") else ()


def open_allowed_urls(settings: ServerSettings) -> Problems:
    """Nothing can be registered, but the next one who turns the model API on opens it to the world."""
    return () if settings.true("enable_model_api") else _open_allowed_urls(settings)


def model_api(settings: ServerSettings) -> Problems:
    if settings.true("enable_model_api") and settings.asks_for_tokens:
        reason = "with the model API any unpacked folder on this disk can be registered, whatever allowed_urls says"
        yield Problem("enable_model_api", reason, "enable_model_api=false unless models must change while it serves")


def management_open_to_the_network(settings: ServerSettings) -> Problems:
    """The management port starts and stops workers."""
    if settings.asks_for_tokens:
        for key, _ in settings.open_addresses():
            if "management" in key:
                yield Problem(key, f"{key} is open to other machines", "bind it to 127.0.0.1")


def metrics_open_to_the_network(settings: ServerSettings) -> Problems:
    if any(key == "metrics_address" for key, _ in settings.open_addresses()):
        reason = "metrics_address is open to other machines, and metrics ask for no token"
        yield Problem("metrics_address", reason, "bind it where only the monitoring can reach it")


def tokens_in_clear_text(settings: ServerSettings) -> Problems:
    if settings.asks_for_tokens:
        for key, scheme in settings.open_addresses():
            plain = not settings.true("enable_grpc_ssl") if key.startswith("grpc_") else scheme != "https"
            if plain and key != "metrics_address":
                reason = f"{key} takes tokens from other machines without TLS: whoever listens has them"
                yield Problem(key, reason, "bind it to 127.0.0.1 behind a proxy that speaks TLS, or use TLS here")


def packages_installed_by_archives(settings: ServerSettings) -> Problems:
    if settings.true("install_py_dep_per_model"):
        reason = "install_py_dep_per_model=true has pip install what an archive's requirements.txt names, at each load"
        yield Problem("install_py_dep_per_model", reason, "install packages beforehand and set it to false")


def any_web_page(settings: ServerSettings) -> Problems:
    if any(origin.strip() == "*" for origin in settings.values.get("cors_allowed_origin", "").split(",")):
        reason = "cors_allowed_origin=* lets the script of any web page call the server from its visitor's browser"
        yield Problem("cors_allowed_origin", reason, "name the one origin that needs it")


def _open_allowed_urls(settings: ServerSettings) -> Problems:
    value = settings.values.get("allowed_urls", DEFAULT_ALLOWED_URLS)
    if settings.true("use_env_allowed_urls") or is_from_environment(value):
        return
    for written in value.split(","):
        pattern = _in_python(written)
        if not _is_pattern(pattern):
            reason = f"{written[:80]} in allowed_urls cannot be read as a pattern: no rule here can say whom it lets in"
            yield Problem("allowed_urls", reason, "write it without what only Java knows; commas divide patterns")
            return
        if stranger := next((url for url in (*STRANGERS, *_lookalikes(pattern)) if _takes(pattern, url)), None):
            how = "allows" if "allowed_urls" in settings.values else "is missing, which allows"
            reason = f"allowed_urls {how} archives from anywhere, such as {stranger}"
            cure = r"allowed_urls=(?!) allows none; or the one place, as https://models\.example\.org/[^/]*\.mar"
            yield Problem("allowed_urls", reason, cure)
            return


def _in_python(pattern: str) -> str:
    """A pattern of Java's, whose ``\\Q…\\E`` no other has."""
    return _QUOTED.sub(lambda match: re.escape(match[1]) if match[1] is not None else match[0], pattern)


def _is_pattern(pattern: str) -> bool:
    """Whether it is one; of a longer one nobody needs to know."""
    try:
        return len(pattern) > LONGEST_PATTERN or bool(regex.compile(pattern, flags=regex.IGNORECASE))
    except (regex.error, RecursionError, ValueError, OverflowError):
        return False


def _lookalikes(pattern: str) -> Iterator[str]:
    """Addresses of strangers that look like those a pattern is for: another host behind its host, or before it."""
    plain = re.sub(r"(?:\.|\[\^?/\])[*+]\??", "x", pattern[:LONGEST_PATTERN])
    plain = re.sub(r"[\\?^$()]", "", plain).split("|")[0]
    scheme, slashes, rest = plain.partition("://")
    host, _, path = rest.partition("/")
    if slashes and host:
        for url in (f"{host}.example.com/{path}", f"{host}@example.com/{path}", f"example.com/{host}/{path}"):
            yield f"{scheme}://{url}"
            yield f"{scheme}://{url}x"


def _takes(pattern: str, url: str) -> bool:
    """Whether TorchServe takes a URL, found out in a bounded time: a pattern may take years to say no."""
    try:
        long = len(pattern) > LONGEST_PATTERN
        return long or bool(regex.fullmatch(pattern, url, flags=regex.IGNORECASE, timeout=PATIENCE_S))
    except TimeoutError:
        return True


ERRORS = (open_to_the_network_without_tokens, model_api_without_tokens, open_allowed_urls_with_model_api)
WARNINGS = (
    open_allowed_urls,
    model_api,
    management_open_to_the_network,
    metrics_open_to_the_network,
    tokens_in_clear_text,
    packages_installed_by_archives,
    any_web_page,
)
