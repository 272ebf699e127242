"""``marwright serve`` and ``stop``."""


def serve() -> None:
    """Start TorchServe."""


def stop() -> None:
    """Stop it."""
