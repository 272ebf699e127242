"""The names of the files in an archive, declared once."""

from __future__ import annotations

CPU_MODULE = "model.pt"
GPU_MODULE = "model_gpu.pt"
TORCHSCRIPT = "torchscript_runtime"
"""The handler's module for TorchScript files."""
CUDA_GRAPHS = "cuda_graph_runtime"
"""The same on GPUs, for modules with static shapes."""
TOKENIZER = "tokenizer.json"
LABELS = "index_to_name.json"
SETUP = "setup_config.json"
MODEL_CONFIG = "model-config.yaml"
GOLDEN = "golden_requests.json"
CARD = "card.json"
MODEL_CARD = "model_card.md"
HASHES = "hashes.json"
TRAINING_DIGESTS = "training_digests.json"
SBOM = "sbom.cdx.json"
MANIFEST = "MAR-INF/MANIFEST.json"

HANDLER = "text_classification_handler.py"
"""The handler an archive has unless its configuration names another."""
