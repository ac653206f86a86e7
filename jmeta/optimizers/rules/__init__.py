"""Optimization strategies with parameters, one a file: each a pure map from theta to an Optax rule."""

from jmeta.optimizers.rules.adafactor import adafactor_mlp
from jmeta.optimizers.rules.added import added
from jmeta.optimizers.rules.lstm import log_and_sign, lstm, raw
from jmeta.optimizers.rules.mlp import mlp
from jmeta.optimizers.rules.schedule import schedule
from jmeta.optimizers.rules.tensors import per_tensor

__all__ = ["adafactor_mlp", "added", "log_and_sign", "lstm", "mlp", "per_tensor", "raw", "schedule"]
