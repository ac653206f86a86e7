"""Small experiments of every kind that there is, by name."""

from collections.abc import Callable

from toy_experiment import Settings, build

from jmeta.active import experiment as active
from jmeta.active import settings as active_settings
from jmeta.continual import experiment as continual
from jmeta.continual import settings as continual_settings
from jmeta.continual.online import experiment as online
from jmeta.continual.online import settings as online_settings
from jmeta.experiment import Experiment
from jmeta.generative import experiment as generative
from jmeta.generative import settings as generative_settings
from jmeta.mtl import experiment as mtl
from jmeta.mtl import settings as mtl_settings
from jmeta.optimizers import experiment as optimizers
from jmeta.optimizers import settings as optimizers_settings
from jmeta.rl import experiment as rl
from jmeta.rl import settings as rl_settings
from jmeta.runs.few_shot import settings_of
from jmeta.runs.few_shot.experiment import builder
from jmeta.settings import replaced


def few_shot(algorithm: str, dataset: str = "glyphs:60", **values) -> Experiment:
    """A small run of a learner; on pictures by a small network. Adam would make much of gradients that are zero."""
    small = {"network": "mlp", "features": (8,)} if dataset.startswith("glyphs") else {}
    sizes = {"outer_steps": 20, "meta_batch_size": 2, "val_episodes": 3, "query_shot": 2, "outer_optimizer": "sgd"}
    return builder()(settings_of(algorithm=algorithm, dataset=dataset, **{**small, **sizes, **values}))


def agent(algorithm: str, env: str, **values) -> Experiment:
    """A small run of a meta-reinforcement learner."""
    sizes = {"units": 4, "meta_batch_size": 4, "val_tasks": 3, "updates": 20}
    settings = rl_settings.defaults(rl_settings.Choice(algorithm, env))
    return rl.build(replaced(settings, sizes | values))


def join(algorithm: str, **values) -> Experiment:
    """A small join of meta-learning and multi-task learning."""
    sizes = {"dataset": "glyphs:60", "split": "default", "network": "mlp", "features": (4,), "norm": "none"}
    sizes |= {"tasks": 2, "query_shot": 2, "val_problems": 3, "outer_steps": 20}
    settings = mtl_settings.defaults(mtl_settings.Choice(algorithm))
    return mtl.builder()(replaced(settings, sizes | values))


def streams(algorithm: str, **values) -> Experiment:
    """A small learner of streams."""
    sizes = {"dataset": "glyphs:60", "network": "mlp", "features": (4,), "norm": "none", "outer_steps": 20}
    sizes |= {"classes": 3, "shot": 2, "query_shot": 2, "val_classes": 4, "val_shot": 2, "val_streams": 3}
    settings = continual_settings.defaults(continual_settings.Choice(algorithm))
    return continual.builder()(replaced(settings, sizes | values))


def online_learner(algorithm: str, **values) -> Experiment:
    """A small sequence of tasks that an online learner goes through."""
    sizes = {"dataset": "glyphs:4", "features": (4,), "task_steps": 2, "batch_size": 4, "finish_size": 2}
    settings = online_settings.defaults(continual_settings.Choice(algorithm))
    return online.builder()(replaced(settings, sizes | values))


def asking(algorithm: str, **values) -> Experiment:
    """A small learned rule, whose learner is trained with it."""
    sizes = {"dataset": "glyphs:60", "network": "mlp", "features": (4,), "way": 2, "pool_shot": 2, "query_shot": 2}
    sizes |= {"labels": 2, "val_pools": 3, "units": 4, "rollouts": 2, "meta_batch_size": 2, "outer_steps": 20}
    settings = active_settings.defaults(active_settings.Choice(algorithm))
    return active.builder()(replaced(settings, sizes | {"joint": True} | values))


def optimizer(rule: str, problem: str, estimator: str, **values) -> Experiment:
    """A small learned rule."""
    sizes = {"inner_steps": 4, "meta_batch_size": 4, "outer_steps": 20, "val_problems": 3}
    settings = optimizers_settings.defaults(optimizers_settings.Choice(rule, problem, estimator))
    return optimizers.builder()(replaced(settings, sizes | values))


def generator(algorithm: str, **values) -> Experiment:
    """A small generator of drawings; by a small rate, since Adam makes much of gradients that are zero."""
    sizes = {"dataset": "glyphs:40", "seen": 2, "query_shot": 2, "val_classes": 3, "outer_steps": 20}
    settings = generative_settings.defaults(generative_settings.Choice(algorithm))
    return generative.builder()(replaced(settings, sizes | {"meta_batch_size": 4} | values))


EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "toy": lambda: build(Settings()),
    "few-shot, curves": lambda: few_shot("maml", "sinusoid"),
    "few-shot, pictures": lambda: few_shot("prototypical", norm="batch"),
    "few-shot, ordinary batches": lambda: few_shot("baseline", augment="affine"),
    "few-shot, a process": lambda: few_shot("deep-kernel", "sinusoid-e", kernel="spectral-mixture"),
    "few-shot, samples": lambda: few_shot("platipus", "sinusoid-h", samples=2),
    "few-shot, densities": lambda: few_shot("meta-qda"),
    "few-shot, a schedule": lambda: few_shot("maml++", inner_steps=2, norm="none"),
    "rl, RL^2": lambda: agent("rl2", "bandit", arms=2, pulls=4, minibatches=2, epochs=2),
    "rl, MAML by ProMP": lambda: agent(
        "maml", "navigation", horizon=4, episodes=3, test_episodes=2, outer="promp", test_steps=1
    ),
    "rl, MAML by TRPO": lambda: agent("maml", "cart-pole", horizon=4, episodes=3, outer="trpo", test_steps=1),
    "join": lambda: join("prototypical"),
    "continual, steps": lambda: streams("oml", remember=3),
    "continual, a sequence": lambda: online_learner("ewc", scenario="task"),
    "continual, a memory": lambda: online_learner("la-maml", memory_size=4, replay_size=2),
    "continual, sums": lambda: streams("gemcl"),
    "active": lambda: asking("prototypical"),
    "optimizers, evolution": lambda: optimizer("mlp", "quadratic-log", "pes", truncation=2, dimension=2, units=(2,)),
    "optimizers, backpropagation": lambda: optimizer(
        "mlp", "classification", "truncated", truncation=2, units=(3,), dataset="glyphs:60", way=2, features=(2,)
    ),
    "generative": lambda: generator("set-vae", latent=2, units=4, samples=2, outer_lr=1e-4),
}

LONG = (
    "few-shot, pictures", "few-shot, samples", "few-shot, densities", "rl, MAML by TRPO", "continual, a memory",
    "continual, sums", "optimizers, backpropagation", "generative",
)  # fmt: skip
"""Those that are for `--all`: what they add is tested in a quicker place too."""
