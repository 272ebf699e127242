"""FastAPI: one request, one call of the model.

``uvicorn compare.fastapi_server:app --workers 2``: a process for each core, as FastAPI's deployment page says. For
calls that block it advises plain functions, which run in a thread pool. A call here takes so little that the pool costs
more than it gives: the endpoint is asynchronous, which measured better at any number of clients.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from compare.onnx_classifier import OnnxClassifier

app = FastAPI()
classifier = OnnxClassifier()


class Request(BaseModel):
    text: str


@app.post("/predict")
async def predict(request: Request) -> dict[str, float]:
    """Label: probability, best first."""
    return classifier.classify([request.text])[0]
