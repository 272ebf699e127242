"""The rules for ways into a server beside its ports: one function each."""

from __future__ import annotations

import re

from marwright.checks.lint.findings import Problem, Problems
from marwright.checks.lint.server_settings import GRPC_ADDRESSES, HTTP_ADDRESSES, ServerSettings

# What Java does with an option, and what such options begin with; of two that fit the first one counts.
_INTO_JAVA = {
    "lets a debugger run any code in the server": ("-agentlib:jdwp", "-Xrunjdwp"),
    "is for a debugger, which can run any code in the server": ("-Xdebug",),
    "loads a library into the server": ("-agentlib:", "-agentpath:", "-Xrun"),
    "loads code into the server that may change all other": ("-javaagent:",),
    "opens the server to JMX, which can run code in it": ("-Dcom.sun.management",),
    "opens the server to other Java programs": ("-Djava.rmi",),
    "runs a command when the memory is full": ("-XX:OnOutOfMemoryError=",),
    "runs a command when Java fails": ("-XX:OnError=",),
    "reads more options from a file": ("-XX:Flags=", "-XX:VMOptionsFile=", "@"),
    "lets other programs load code into the server": ("-XX:+StartAttachListener",),
    "puts other code before Java's own": ("-Xbootclasspath", "--patch-module"),
    "changes what code may do": ("-Djava.security.manager",),
    "may let Java load code from other machines": ("-Dcom.sun.jndi.",),
    "replaces the server's code": ("-cp", "-classpath", "--class-path", "-Djava.class.path", "-jar"),
    "has other code load the server's": ("-Djava.system.class.loader",),
    "takes classes from a file": ("-XX:SharedArchiveFile",),
    "adds code to the server": ("-p", "--module-path"),
    "puts other code in the place of Java's own": ("--upgrade-module-path",),
    "adds code to the server, or puts other code in the place of Java's own": ("-Djdk.module.",),
}
_REMOTE_LOG_CONFIG = re.compile(r"-Dlog4j2?\.configurationFile=.*?(?:https?|ftp|jar|ldap)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Whoever decides these decides who comes in.
_DOORS = frozenset(
    {
        *HTTP_ADDRESSES,
        *GRPC_ADDRESSES,
        "disable_token_authorization",
        "enable_model_api",
        "enable_envvars_config",
        "allowed_urls",
        "load_models",
        "models",
        "model_snapshot",
        "install_py_dep_per_model",
        "system_metrics_cmd",
        "plugins_path",
        "vmargs",
        "python",
        "cpu_launcher_args",
        "model_server_home",
        "cors_allowed_origin",
    }
)


def a_way_into_java(settings: ServerSettings) -> Problems:
    for word in dict.fromkeys(word for value in settings.either("vmargs") for word in value.split()):
        what = next((what for what, starts in _INTO_JAVA.items() if word.startswith(starts)), None)
        if _REMOTE_LOG_CONFIG.match(word):
            what = "has another machine say how to log, which may run code"
        if what is not None:
            yield Problem("vmargs", f"{word[:80]} in vmargs {what}", "remove it; debug a server that nobody uses")


def settings_from_the_environment(settings: ServerSettings) -> Problems:
    """Variables come before the file, and nobody sees them in it."""
    if settings.true("enable_envvars_config"):
        reason = (
            "enable_envvars_config=true: a variable such as TS_DISABLE_TOKEN_AUTHORIZATION overrides this file, "
            "key checks included"
        )
        yield Problem("enable_envvars_config", reason, "enable_envvars_config=false, and write what you mean here")
    if settings.true("use_env_allowed_urls"):
        reason = (
            "use_env_allowed_urls=true: the variable TS_ALLOWED_URLS says where models may come from, not this file"
        )
        yield Problem("use_env_allowed_urls", reason, "use_env_allowed_urls=false, and write allowed_urls here")


def left_to_the_environment(settings: ServerSettings) -> Problems:
    """``$$NAME$$`` is replaced by a variable of the environment."""
    for key in sorted(_DOORS & settings.values.keys() - settings.known.keys()):
        reason = f"{key}={settings.values[key][:80]} is whatever the environment says; no rule here can judge it"
        yield Problem(key, reason, "write the value, or check the variable where the server is started")


def a_program_of_its_own(settings: ServerSettings) -> Problems:
    if command := settings.values.get("system_metrics_cmd", "").strip():
        reason = f"the server runs {command[:80]!r} with its own rights, again and again"
        yield Problem("system_metrics_cmd", reason, "remove it: TorchServe collects the machine's metrics by itself")
    for path in filter(None, settings.either("plugins_path")):
        reason = f"every jar in {path[:80]} is loaded into the server"
        yield Problem("plugins_path", reason, "remove it unless you know each of them, and who may write there")
    # WorkerLifeCycle: the program that a worker is, what it is started by, and where the worker's own code lies.
    if (program := settings.values.get("python", "python").strip()) != "python":
        yield Problem("python", f"every worker is {program[:80]}, with the server's rights", "remove it")
    arguments = settings.values.get("cpu_launcher_args", "").strip()
    if arguments and settings.true("cpu_launcher_enable"):
        reason = (
            f"workers are started by torch.backends.xeon.run_cpu {arguments[:80]}, which runs any program it is told"
        )
        yield Problem("cpu_launcher_args", reason, "give numbers of cores and nothing else, or remove it")
    if home := settings.values.get("model_server_home", "").strip():
        reason = f"workers run {home[:80]}/ts/model_service_worker.py, whatever lies there"
        yield Problem("model_server_home", reason, "remove it: TorchServe knows where it is installed")


def archives_from_urls(settings: ServerSettings) -> Problems:
    named = [("load_models", file) for _, file in settings.loaded()]
    models = settings.readable_models().values()
    named += [("models", str(one.get("marName", ""))) for versions in models for one in versions.values()]
    for key, file in named:
        if _URL.match(file):
            reason = f"{key} has the server fetch {file[:80]} when it starts, and run the code in it"
            if file.lower().startswith("http:"):
                reason += "; on the way anybody can replace it"
            cure = "fetch it beforehand, `marwright verify` it, and name the file in the model store"
            yield Problem(key, reason, cure)


def images_of_any_size(settings: ServerSettings) -> Problems:
    if settings.values.get("limit_max_image_pixels", "true").lower() == "false":
        reason = "limit_max_image_pixels=false: one small request can unpack to an image that fills the memory"
        yield Problem("limit_max_image_pixels", reason, "limit_max_image_pixels=true")


ERRORS = (a_way_into_java,)
WARNINGS = (
    settings_from_the_environment,
    left_to_the_environment,
    a_program_of_its_own,
    archives_from_urls,
    images_of_any_size,
)
