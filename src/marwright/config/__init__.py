"""The configuration of one model: a YAML file, checked as a whole before anything runs."""

from marwright.config.loading import load_config
from marwright.config.schema import (
    AboSource,
    ArchiveConfig,
    AugmentationConfig,
    BiLstmShape,
    CompressionConfig,
    Config,
    CustomsSource,
    DataConfig,
    ExportConfig,
    SplitConfig,
    StudentConfig,
    TableSource,
    TeacherConfig,
    TrainingConfig,
)

__all__ = [
    "AboSource",
    "ArchiveConfig",
    "AugmentationConfig",
    "BiLstmShape",
    "CompressionConfig",
    "Config",
    "CustomsSource",
    "DataConfig",
    "ExportConfig",
    "SplitConfig",
    "StudentConfig",
    "TableSource",
    "TeacherConfig",
    "TrainingConfig",
    "load_config",
]
