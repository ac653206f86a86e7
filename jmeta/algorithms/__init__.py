"""One file an algorithm; each is a factory that returns a `Learner`."""

from jmeta.algorithms.anil import ANILParams, anil
from jmeta.algorithms.attention import AttentionAdapted, AttentionParams, attention_learner
from jmeta.algorithms.baseline import BaselineAdapted, BaselineParams, baseline, baseline_plus_plus
from jmeta.algorithms.boil import BOILParams, boil
from jmeta.algorithms.bootstrap import bootstrapped, parameter_distance, prediction_distance, prediction_kl
from jmeta.algorithms.cavia import CAVIAAdapted, cavia
from jmeta.algorithms.imaml import imaml
from jmeta.algorithms.maml import maml
from jmeta.algorithms.maml_plus_plus import MAMLPlusPlusParams, maml_plus_plus, multi_step_weights
from jmeta.algorithms.matching import MatchingAdapted, MatchingParams, matching
from jmeta.algorithms.meta_sgd import MetaSGDParams, meta_sgd
from jmeta.algorithms.nearest import nearest
from jmeta.algorithms.neural_process import (
    NeuralProcessAdapted,
    NeuralProcessParams,
    all_examples,
    class_and_rest,
    neural_process,
)
from jmeta.algorithms.proto_maml import ProtoMAMLAdapted, proto_maml
from jmeta.algorithms.prototypical import PrototypicalAdapted, prototypical
from jmeta.algorithms.relation import RelationAdapted, RelationParams, relation
from jmeta.algorithms.reptile import reptile
from jmeta.algorithms.rfs import RFSAdapted, rfs
from jmeta.algorithms.ridge import RidgeAdapted, RidgeParams, ridge
from jmeta.algorithms.siamese import SiameseAdapted, SiameseParams, siamese

__all__ = [
    "ANILParams",
    "AttentionAdapted",
    "AttentionParams",
    "BOILParams",
    "BaselineAdapted",
    "BaselineParams",
    "CAVIAAdapted",
    "MAMLPlusPlusParams",
    "MatchingAdapted",
    "MatchingParams",
    "MetaSGDParams",
    "NeuralProcessAdapted",
    "NeuralProcessParams",
    "ProtoMAMLAdapted",
    "PrototypicalAdapted",
    "RFSAdapted",
    "RelationAdapted",
    "RelationParams",
    "RidgeAdapted",
    "RidgeParams",
    "SiameseAdapted",
    "SiameseParams",
    "all_examples",
    "anil",
    "attention_learner",
    "baseline",
    "baseline_plus_plus",
    "boil",
    "bootstrapped",
    "cavia",
    "class_and_rest",
    "imaml",
    "maml",
    "maml_plus_plus",
    "matching",
    "meta_sgd",
    "multi_step_weights",
    "nearest",
    "neural_process",
    "parameter_distance",
    "prediction_distance",
    "prediction_kl",
    "proto_maml",
    "prototypical",
    "relation",
    "reptile",
    "rfs",
    "ridge",
    "siamese",
]  # fmt: skip
