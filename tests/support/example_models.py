"""Modules such as those of TorchServe's examples, small and with random weights: no check may be alarmed by them."""

# No `from __future__ import annotations`: TorchScript reads the fields' types as they are.
import io
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Digits(nn.Module):
    """The network of TorchServe's mnist example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, 1), nn.Conv2d(4, 8, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(1152, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.conv1(x))
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.fc2(self.dropout2(nn.functional.relu(self.fc1(x))))
        return nn.functional.log_softmax(x, dim=1)


class Block(nn.Module):
    """A block of ResNet, with or without a projection."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn1, self.bn2, self.relu = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        identity = x if self.downsample is None else self.downsample(x)
        out += identity
        return self.relu(out)


class Images(nn.Module):
    """An image classifier like torchvision's ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.Sequential(Block(4, 4, 1), Block(4, 8, 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.layers(self.stem(x))), 1))  # type: ignore[no-any-return]


class Texts(nn.Module):
    """TorchServe's text classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(100, 8, sparse=True), nn.Linear(8, 4)

    def forward(self, text: Tensor, offsets: Tensor | None = None) -> Tensor:
        return self.fc(self.embedding(text, offsets))  # type: ignore[no-any-return]


class Found(NamedTuple):
    """What a detector returns of one picture."""

    boxes: Tensor
    scores: Tensor
    names: list[str]


class Detector(nn.Module):
    """Control flow, dictionaries, strings, tuples with names and errors, as in a scripted object detector."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({"boxes": nn.Linear(4, 4), "scores": nn.Linear(4, 2)})
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.sizes, self.names = [8, 16], {0: "cat", 1: "dog"}

    def forward(self, images: list[Tensor], limit: float = 0.1) -> list[Found]:
        found: list[Found] = []
        for image in images:
            if image.dim() != 2:
                raise ValueError(f"expected two dimensions, got {image.dim()}")
            x = image
            for block in self.blocks:
                x = torch.relu(block(x)) + x.mean(dim=-1, keepdim=True)
            scores, labels = torch.softmax(self.heads["scores"](x), -1).max(dim=1)
            keep = self.kept(self.heads["boxes"](x), scores, limit)
            names = [self.names.get(int(label), "other").upper() for label in labels[keep]]
            found.append(Found(x[keep].to(torch.float32), scores[keep], names))
        assert len(found) == len(images), "one for each"
        return found

    def kept(self, boxes: Tensor, scores: Tensor, limit: float) -> Tensor:
        """Non-maximum suppression of a sort."""
        order = torch.argsort(scores, descending=True)
        keep = torch.zeros_like(scores, dtype=torch.bool)
        while order.numel() > 0:
            first = int(order[0].item())
            keep[first] = True
            far = (boxes[order] - boxes[first]).abs().sum(1) > limit
            order = order[far & (order != first)]
            if self.training and len(self.sizes) > 1:
                break
        return keep


class Sequences(nn.Module):
    """Recurrent layers, packed sequences and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8, padding_idx=0)
        self.lstm, self.gru = nn.LSTM(8, 4, bidirectional=True, batch_first=True), nn.GRU(8, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(12, 3)

    def forward(self, ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        x = self.embedding(ids)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = self.lstm(packed)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
        z, _ = self.gru(x)
        a, _ = self.attention(x, x, x)
        with torch.no_grad():
            scale = torch.rsqrt(torch.tensor(float(x.shape[-1]), device=x.device, dtype=x.dtype))
        return {"logits": self.out(torch.cat([self.norm(y + a), z], dim=-1)) * scale}


class Forks(nn.Module):
    """Asynchronous calls, an optional, einsum and a printed line."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.save = nn.Linear(4, 4), nn.Linear(4, 4), True

    @torch.jit.export
    def load(self, text: str) -> str:
        """Has a name that is another function's elsewhere."""
        return text + "std::vector" if self.save else text

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, int]:
        later = torch.jit.fork(self.one, x)
        y = torch.einsum("bi,bj->bij", self.two(x), torch.jit.wait(later))
        if mask is not None:
            y = y.masked_fill(mask, float("-inf"))
        if y.isnan().any().item():
            print("a number is none")
        return y, y.shape[0]


def scripted(module: nn.Module) -> bytes:
    """The bytes of ``torch.jit.save`` of the scripted module."""
    return saved(torch.jit.script(module.eval()))


def traced(module: nn.Module, *example: Tensor) -> bytes:
    """The bytes of ``torch.jit.save`` of the traced module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(torch.jit.trace(module.eval(), example, strict=False, check_trace=False))


def saved(module: torch.jit.ScriptModule) -> bytes:
    """The bytes of ``torch.jit.save``."""
    stream = io.BytesIO()
    torch.jit.save(module, stream)
    return stream.getvalue()


def static_int8() -> bytes:
    """Convolutions and linear layers quantized after calibration, traced."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    example = torch.rand(1, 3, 32, 32)
    prepared = prepare_fx(Images().eval(), get_default_qconfig_mapping("x86"), (example,))
    prepared(example)
    return traced(convert_fx(prepared), example)


def dynamic_int8(module: nn.Module) -> nn.Module:
    """Linear and recurrent layers quantized as they come."""
    from torch.ao.quantization import quantize_dynamic

    return quantize_dynamic(module.eval(), {nn.Linear, nn.LSTM}, dtype=torch.qint8)  # type: ignore[no-any-return]


def transformer(*, eager: bool = False) -> nn.Module:
    """An encoder of PyTorch's own."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not eager)


EXAMPLES: dict[str, Callable[[], bytes]] = {
    "mnist, scripted": lambda: scripted(Digits()),
    "mnist, traced": lambda: traced(Digits(), torch.rand(2, 1, 28, 28)),
    "image classifier, scripted": lambda: scripted(Images()),
    "image classifier, traced": lambda: traced(Images(), torch.rand(1, 3, 64, 64)),
    "image classifier, frozen": lambda: saved(torch.jit.freeze(torch.jit.script(Images().eval()))),
    "image classifier, optimized": lambda: saved(torch.jit.optimize_for_inference(torch.jit.script(Images().eval()))),
    "image classifier, static int8": static_int8,
    "text classifier, scripted": lambda: scripted(Texts()),
    "text classifier, dynamic int8": lambda: scripted(dynamic_int8(Texts())),
    "object detector, scripted": lambda: scripted(Detector()),
    "sequences, scripted": lambda: scripted(Sequences()),
    "sequences, dynamic int8": lambda: scripted(dynamic_int8(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))),
    "forks, scripted": lambda: scripted(Forks()),
    "transformer, traced": lambda: traced(transformer(eager=True), torch.rand(2, 5, 8)),
    "transformer, scripted": lambda: scripted(transformer()),
}
