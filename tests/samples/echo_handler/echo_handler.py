"""The least a TorchServe handler can be: loads a TorchScript module, answers every request with its output."""

from pathlib import Path

import torch


class EchoHandler:
    def initialize(self, context):
        self.model = torch.jit.load(str(Path(context.system_properties["model_dir"]) / "linear.pt"))

    def handle(self, data, context):
        context.metrics.get_metric("MarwrightRequests").add_or_update(len(data), [context.model_name, "Model"])
        with torch.inference_mode():
            return [{"value": self.model(torch.ones(1, 2)).item()} for _ in data]
