"""From a table of labelled short texts to a TorchServe archive that is small, fast, proven and safe."""

__version__ = "0.1.0"
