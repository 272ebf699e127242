"""The configuration of one model: a YAML file, checked as a whole before anything runs."""

from marwright.config.data import AboSource, CustomsSource, DataConfig, SplitConfig, TableSource
from marwright.config.loading import load_config
from marwright.config.schema import (
    TIMING_ROUNDS,
    ArchiveConfig,
    CompressionConfig,
    Config,
    ExploreConfig,
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
    "AboSource",
    "ArchiveConfig",
    "AugmentationConfig",
    "BiLstmShape",
    "CompressionConfig",
    "Config",
    "CustomsSource",
    "DataConfig",
    "ExploreConfig",
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
    "TableSource",
    "TeacherConfig",
    "TrainingConfig",
    "TrainingPrecision",
    "load_config",
]
