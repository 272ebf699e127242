"""Folders for other servers than TorchServe, from a finished run."""
