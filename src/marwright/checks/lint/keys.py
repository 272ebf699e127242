"""The settings that TorchServe 0.12 reads, as its own classes name them, and the one that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# More than there are: each unknown one is compared with all that are known.
MOST_KEYS = 300

# ModelConfig: whole numbers with the least one that is not ignored.
MODEL_INTEGERS = {
    "minWorkers": 1,
    "maxWorkers": 0,
    "batchSize": 1,
    "maxBatchDelay": 0,
    "responseTimeout": 1,
    "startupTimeout": 1,
    "parallelLevel": 0,
    "maxRetryTimeoutInSec": 1,
    "clientTimeoutInMills": 1,
    "jobQueueSize": 1,
    "sequenceMaxIdleMSec": 1,
    "sequenceTimeoutMSec": 1,
    "maxSequenceJobQueueSize": 1,
    "maxNumSequence": 1,
}
MODEL_BOOLEANS = frozenset({"useJobTicket", "continuousBatching", "sequenceBatching", "asyncCommunication", "useVenv"})
MODEL_CHOICES = {"deviceType": ("cpu", "gpu"), "parallelType": ("pp", "tp", "pptp", "custom")}
MODEL_KEYS = frozenset({*MODEL_INTEGERS, *MODEL_BOOLEANS, *MODEL_CHOICES, "deviceIds", "torchrun"})
# Sections that TorchServe leaves to the handlers and helpers it ships.
HANDLER_SECTIONS = frozenset({"handler", "pt2", "dali", "deepspeed", "pippy", "micro_batching"})

# ConfigManager: parsed as a number at start, or as it is first used.
SERVER_INTEGERS = frozenset(
    {
        "default_workers_per_model",
        "default_response_timeout",
        "default_startup_timeout",
        "unregister_model_timeout",
        "number_of_netty_threads",
        "netty_client_threads",
        "job_queue_size",
        "number_of_gpu",
        "max_request_size",
        "max_response_size",
        "grpc_inference_port",
        "grpc_management_port",
        "grpc_inference_max_connection_age_ms",
        "grpc_management_max_connection_age_ms",
        "grpc_inference_max_connection_age_grace_ms",
        "grpc_management_max_connection_age_grace_ms",
        "initial_worker_port",
        "initial_distribution_port",
        "metric_time_interval",
        "io_ratio",
    }
)
SERVER_BOOLEANS = frozenset(
    {
        "debug",
        "async_logging",
        "prefer_direct_buffer",
        "install_py_dep_per_model",
        "enable_metrics_api",
        "enable_grpc_ssl",
        "enable_model_api",
        "enable_envvars_config",
        "use_env_allowed_urls",
        "disable_token_authorization",
        "model_metrics_auto_detect",
        "disable_system_metrics",
        "limit_max_image_pixels",
        "cpu_launcher_enable",
        "ipex_enable",
        "ipex_gpu_enable",
        "ts_open_inference_protocol",
        "use_native_io",
    }
)
SERVER_KEYS = (
    SERVER_INTEGERS
    | SERVER_BOOLEANS
    | frozenset(
        {
            "inference_address",
            "management_address",
            "metrics_address",
            "grpc_inference_address",
            "grpc_management_address",
            "load_models",
            "models",
            "model_store",
            "workflow_store",
            "model_snapshot",
            "model_server_home",
            "allowed_urls",
            "blacklist_env_vars",
            "metrics_config",
            "metrics_mode",
            "system_metrics_cmd",
            "cpu_launcher_args",
            "cors_allowed_origin",
            "cors_allowed_methods",
            "cors_allowed_headers",
            "decode_input_request",
            "keystore",
            "keystore_pass",
            "keystore_type",
            "certificate_file",
            "private_key_file",
            "default_service_handler",
            "service_envelope",
            "cpp_log_config",
            "ts_header_key_sequence_id",
            "ts_header_key_sequence_start",
            "ts_header_key_sequence_end",
            "plugins_path",
            "python",
            "version",
            "vmargs",
            # Written into the snapshots that TorchServe makes of its configuration.
            "tsConfigFile",
            # Minutes, and fractions of them.
            "token_expiration_min",
        }
    )
)


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that was probably meant, if there is one: ``batch_size`` is ``batchSize``."""
    if len(key) > 64:
        return None
    plain = {_plain(own): own for own in known}
    close = difflib.get_close_matches(_plain(key), plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


def _plain(key: str) -> str:
    return "".join(character for character in key.lower() if character.isalnum())
