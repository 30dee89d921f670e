"""Fine-tuning as code: one committed YAML spec, any tuner, evidence before the merge."""

__version__ = "0.1.0"
