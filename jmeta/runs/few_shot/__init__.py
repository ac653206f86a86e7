"""Few-shot runs kept in folders: trained, evaluated, shown new pictures, drawn."""

from jmeta.runs.few_shot.evaluate import Data, EvaluateConfig, Size, evaluate, evaluate_group
from jmeta.runs.few_shot.experiment import AREA, from_preset, train
from jmeta.runs.few_shot.plot import PlotConfig, plot
from jmeta.runs.few_shot.predict import PredictConfig, Prediction, predict
from jmeta.runs.few_shot.settings import Choice, Settings, defaults, settings_of
from jmeta.runs.few_shot.trained import Trained, load_trained

__all__ = [
    "AREA",
    "Choice",
    "Data",
    "EvaluateConfig",
    "PlotConfig",
    "PredictConfig",
    "Prediction",
    "Settings",
    "Size",
    "Trained",
    "defaults",
    "evaluate",
    "evaluate_group",
    "from_preset",
    "load_trained",
    "plot",
    "predict",
    "settings_of",
    "train",
]
