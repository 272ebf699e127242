"""The configuration of one model: a YAML file, checked as a whole before anything runs."""

from marwright.config.data import DataConfig, SplitConfig
from marwright.config.loading import load_config
from marwright.config.schema import (
    TIMING_ROUNDS,
    ArchiveConfig,
    CompressionConfig,
    Config,
    ExportConfig,
    GpuServingConfig,
    SelectConfig,
)
from marwright.config.training import (
    AugmentationConfig,
    BiLstmShape,
    FineTuningConfig,
    MagnitudePruning,
    Pruning,
    QuantizationAwareConfig,
    StructuredPruning,
    StudentConfig,
    TeacherConfig,
    TrainingConfig,
    TrainingPrecision,
)

__all__ = [
    "TIMING_ROUNDS",
    "ArchiveConfig",
    "AugmentationConfig",
    "BiLstmShape",
    "CompressionConfig",
    "Config",
    "DataConfig",
    "ExportConfig",
    "FineTuningConfig",
    "GpuServingConfig",
    "MagnitudePruning",
    "Pruning",
    "QuantizationAwareConfig",
    "SelectConfig",
    "SplitConfig",
    "StructuredPruning",
    "StudentConfig",
    "TeacherConfig",
    "TrainingConfig",
    "TrainingPrecision",
    "load_config",
]
