"""Runs model.onnx in Triton's Python backend, for a tritonserver that has no backend for ONNX."""

from pathlib import Path

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = [each.name for each in self.session.get_inputs()]
        feeds = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        return pb_utils.InferenceResponse([pb_utils.Tensor("logits", self.session.run(["logits"], feeds)[0])])
