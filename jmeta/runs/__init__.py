"""Runs kept in folders: what the command line does, as functions."""

from jmeta.runs.config import TrainConfig
from jmeta.errors import RunError
from jmeta.runs.evaluate import EvaluateConfig, evaluate, evaluate_group
from jmeta.runs.group import GroupResult, train_group
from jmeta.runs.plot import PlotConfig, plot
from jmeta.runs.predict import PredictConfig, Prediction, predict
from jmeta.runs.presets import defaults, from_preset, presets
from jmeta.runs.train import TrainResult, train
from jmeta.runs.trained import Trained, load_trained

__all__ = [
    "EvaluateConfig",
    "GroupResult",
    "PlotConfig",
    "PredictConfig",
    "Prediction",
    "RunError",
    "TrainConfig",
    "TrainResult",
    "Trained",
    "defaults",
    "evaluate",
    "evaluate_group",
    "from_preset",
    "load_trained",
    "plot",
    "predict",
    "presets",
    "train",
    "train_group",
]
