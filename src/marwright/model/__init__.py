"""The Model: an archive that is loaded into this process and answers texts and requests, without TorchServe or Java."""

from marwright.mar.protocol import Answer
from marwright.model.loading import load
from marwright.model.model import Model
from marwright.model.request import Request

__all__ = ["Answer", "Model", "Request", "load"]
