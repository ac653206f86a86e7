"""One file an algorithm; each is a factory that returns a `Learner`."""

from jmeta.algorithms.anil import ANILParams, anil
from jmeta.algorithms.imaml import imaml
from jmeta.algorithms.maml import maml
from jmeta.algorithms.meta_sgd import MetaSGDParams, meta_sgd
from jmeta.algorithms.proto_maml import ProtoMAMLAdapted, proto_maml
from jmeta.algorithms.prototypical import PrototypicalAdapted, prototypical
from jmeta.algorithms.reptile import reptile

__all__ = [
    "ANILParams",
    "MetaSGDParams",
    "ProtoMAMLAdapted",
    "PrototypicalAdapted",
    "anil",
    "imaml",
    "maml",
    "meta_sgd",
    "proto_maml",
    "prototypical",
    "reptile",
]
