"""Learning to learn in JAX: pure functions, one form for every algorithm, the whole loop as one program."""

from jmeta import (
    algorithms,
    datasets,
    distances,
    episodes,
    evaluation,
    gradients,
    inner,
    losses,
    models,
    nets,
    sharding,
    solvers,
    training,
    types,
)
from jmeta.algorithms import (
    ANILParams,
    MetaSGDParams,
    PrototypicalAdapted,
    anil,
    imaml,
    maml,
    meta_sgd,
    prototypical,
    reptile,
)
from jmeta.episodes import few_shot_sampler, linear_sampler, sinusoid_sampler, varied_sampler
from jmeta.evaluation import Evaluation, evaluate
from jmeta.gradients import mixed_grad, remat_grad
from jmeta.inner import attach_gradient, descend, first_order
from jmeta.losses import query_loss
from jmeta.sharding import task_mesh
from jmeta.solvers import conjugate_gradient, neumann
from jmeta.training import TrainState, init_state, make_run, make_runs, make_step, meta_gradient, meta_loss, one_by_one
from jmeta.types import Batch, Episode, Learner, Metrics, Model

__all__ = [
    "ANILParams",
    "Batch",
    "Episode",
    "Evaluation",
    "Learner",
    "MetaSGDParams",
    "Metrics",
    "Model",
    "PrototypicalAdapted",
    "TrainState",
    "algorithms",
    "anil",
    "attach_gradient",
    "conjugate_gradient",
    "datasets",
    "descend",
    "distances",
    "episodes",
    "evaluate",
    "evaluation",
    "few_shot_sampler",
    "first_order",
    "gradients",
    "imaml",
    "init_state",
    "inner",
    "linear_sampler",
    "losses",
    "make_run",
    "make_runs",
    "make_step",
    "maml",
    "meta_gradient",
    "meta_loss",
    "meta_sgd",
    "mixed_grad",
    "models",
    "nets",
    "neumann",
    "one_by_one",
    "prototypical",
    "query_loss",
    "remat_grad",
    "reptile",
    "sharding",
    "sinusoid_sampler",
    "solvers",
    "task_mesh",
    "training",
    "types",
    "varied_sampler",
]
