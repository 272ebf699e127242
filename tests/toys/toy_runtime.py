"""The worker's half of the toy runtime."""

from torchscript_runtime import load

__all__ = ["load"]
