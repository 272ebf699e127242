"""FastAPI: one request, one call of the model.

``uvicorn compare.fastapi_server:app --workers 2``, a process for each core, as FastAPI's deployment page says. The
endpoint is a plain function, which FastAPI runs in its thread pool: it asks for this where a call blocks.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from compare.onnx_classifier import OnnxClassifier

app = FastAPI()
classifier = OnnxClassifier.of_environment()


class Request(BaseModel):
    """What a client sends."""

    text: str


@app.post("/predict")
def predict(request: Request) -> dict[str, float]:
    """Label: probability, best first."""
    return classifier.classify([request.text])[0]
