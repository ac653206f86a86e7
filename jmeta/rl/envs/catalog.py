"""Environments by name: how each is made, what it has to set, and what learning on it starts from."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jmeta.errors import RunError, first_line
from jmeta.registry import Family, Registry, said, short
from jmeta.rl.envs.asking import label_or_ask
from jmeta.rl.envs.bandits import bernoulli_bandit, dependent_bandit, gaussian_bandit
from jmeta.rl.envs.cart_pole import cart_pole
from jmeta.rl.envs.checked import checked
from jmeta.rl.envs.installed import Found, of_gymnasium, of_gymnax, of_python
from jmeta.rl.envs.points import point_navigation, semi_circle
from jmeta.rl.envs.settings import Arms, Asking, CartPole, DependentArms, Navigation, SemiCircle, TabularMDP
from jmeta.rl.envs.tabular_mdp import tabular_mdp
from jmeta.rl.types import Env
from jmeta.settings import of_parameters, to_dict


class Row(NamedTuple):
    """An environment.

    Attributes:
        factory: of the environment, with the settings as arguments.
        what: it is, in a few words.
        settings: the class of what it has to set.
        paper: that it is from, as "authors year, title, address"; empty for none.
        blind: whether there is nothing to see.
        start: of each algorithm, what it starts from on this environment, by names of settings.
    """

    factory: Callable[..., Env]
    what: str
    settings: type
    paper: str = ""
    blind: bool = False
    start: Mapping[str, Mapping[str, Any]] = {}

    def make(self, world: Any) -> Env:
        """The environment that settings describe, checked; a `ValueError` if it can't have them."""
        return checked(self.factory(**to_dict(world)))


def own_row(name: str, found: Any) -> Row:
    """The row of a user's environment, from an `Env`, a `Row`, or what returns an `Env` or makes a Gymnasium
    environment, such as its class.

    A function must need no arguments; its parameters with a number, a word or a truth value as their default are
    settings.

    Raises:
        RunError: for another thing.
    """
    if isinstance(found, Row):
        return found
    factory: Any = (lambda: found) if isinstance(found, Env) else found
    try:
        if not callable(found) and _in_python(found):
            raise TypeError("a Gymnasium environment that is there already serves no second episode: give its class")
        parts = of_parameters(factory, ("render_mode",))
        env = factory()
        if _in_python(env):
            limit = getattr(getattr(env, "spec", None), "max_episode_steps", None)
            return _row(of_python(name, factory, parts, limit), said(factory), _OF_PYTHON)
        if not isinstance(env, Env):
            raise TypeError(f"it is or returns a {type(env).__name__}")
        checked(env)
    except (TypeError, ValueError) as error:
        wanted = "an Env, a function that returns one or makes a Gymnasium environment, or a Row"
        raise RunError(f"{name} must be {wanted} ({first_line(error)}).") from error
    settings = dataclasses.make_dataclass(short(name), parts, frozen=True)
    return Row(factory, said(factory), settings, blind=env.observation_size == 0)


def _in_python(env: Any) -> bool:
    return not isinstance(env, Env) and all(callable(getattr(env, name, None)) for name in ("reset", "step"))


def _row(found: Found, what: str, start: Mapping[str, Any], paper: str = "") -> Row:
    told = {"__doc__": "Attributes:\n    horizon: the most steps of an episode."}
    settings = dataclasses.make_dataclass("World", found.parts, frozen=True, namespace=told)
    return Row(found.make, what, settings, paper, start=start)


def _family(what: str, library: str, find: Callable[[str], Found], start: Mapping[str, Any], paper: str) -> Family:
    """Environments of another library by their names there, in the same settings; each name has one row."""

    row = functools.cache(lambda name: _row(find(name), f"{name} of {library}", start, paper))
    return Family(what, row, paper)


_DUAN = "Duan et al. 2016, RL^2, https://arxiv.org/abs/1611.02779"
_OF_ONE_TASK = {"discount": 0.99, "gae_lambda": 0.95, "outer_lr": 1e-3, "meta_batch_size": 128, "val_tasks": 64}
_OF_PYTHON = {"rl2": _OF_ONE_TASK | {"meta_batch_size": 16, "val_tasks": 16}}  # which is slow

ENVIRONMENTS = Registry[Row](
    "environment",
    {
        "bandit": Row(
            bernoulli_bandit, "arms that pay 1 with a probability of their own", Arms, _DUAN, True,
            {"rl2": {"updates": 1000}},
        ),
        "gaussian-bandit": Row(
            gaussian_bandit, "arms that pay a normal reward around a mean of their own", Arms,
            "Sutton and Barto 2018, Reinforcement Learning, http://incompleteideas.net/book/the-book-2nd.html", True,
        ),
        "dependent-bandit": Row(
            dependent_bandit, "two arms of which one is as good as the other is bad", DependentArms,
            "Wang et al. 2016, Learning to Reinforcement Learn, https://arxiv.org/abs/1611.05763", True,
            {"rl2": {
                "units": 32, "meta_batch_size": 256, "discount": 0.8, "outer_lr": 1e-2, "entropy_coef": 0.05,
                "updates": 300,
            }},
        ),
        "label-or-ask": Row(
            label_or_ask, "examples to label, or to ask for the label of, which is shown only then", Asking,
            "Woodward and Finn 2017, Active One-shot Learning, https://arxiv.org/abs/1702.06559",
            start={"rl2": {"discount": 0.95, "gae_lambda": 0.95, "entropy_coef": 0.3}},
        ),
        "mdp": Row(
            tabular_mdp, "MDPs drawn at random", TabularMDP, _DUAN,
            start={"rl2": {
                "episodes": 10, "policy": "slots", "meta_batch_size": 1024, "discount": 0.95, "gae_lambda": 0.7,
                "outer_lr": 2e-3, "entropy_coef": 0.03, "updates": 150, "log_every": 5, "save_every": 10,
            }},
        ),
        "navigation": Row(
            point_navigation, "a point that has to find a goal that it does not see", Navigation,
            "Finn et al. 2017, Model-Agnostic Meta-Learning, https://arxiv.org/abs/1703.03400",
            start={
                "rl2": {"episodes": 2, "horizon": 20, "discount": 0.99, "gae_lambda": 0.95, "outer_lr": 1e-3},
                "maml": {
                    "inner_lr": (0.45,), "test_lr": (0.4, 0.12, 0.05), "outer": "trpo", "meta_batch_size": 20,
                    "test_episodes": 40, "updates": 200, "log_every": 5, "save_every": 20,
                },
            },
        ),
        "semi-circle": Row(
            semi_circle, "a point that is paid near a goal on a half circle alone, and has to look for it", SemiCircle,
            "Rakelly et al. 2019, PEARL, https://arxiv.org/abs/1903.08254",
            start={"rl2": {
                "episodes": 3, "discount": 0.99, "gae_lambda": 0.95, "outer_lr": 1e-3, "meta_batch_size": 128,
                "val_tasks": 64,
            }},
        ),
        "cart-pole": Row(
            cart_pole, "carts and poles of many sizes", CartPole,
            "Barto et al. 1983, Neuronlike adaptive elements, https://doi.org/10.1109/TSMC.1983.6313077",
            start={
                "rl2": {
                    "episodes": 2, "horizon": 100, "discount": 0.99, "gae_lambda": 0.95, "outer_lr": 1e-3,
                    "meta_batch_size": 128, "val_tasks": 64,
                },
                "maml": {
                    "inner_lr": (0.5,), "gae_lambda": 0.97, "meta_batch_size": 20, "outer_schedule": "linear",
                    "updates": 12, "log_every": 2, "save_every": 6,
                },
            },
        ),
    },
    "jmeta.environments",
    own_row,
    {
        "gymnasium": _family(
            "an environment of Gymnasium, in Python: the same task always", "Gymnasium", of_gymnasium,
            _OF_PYTHON,
            "Towers et al. 2024, Gymnasium, https://arxiv.org/abs/2407.17032",
        ),
        "gymnax": _family(
            "an environment of gymnax: the same task always", "gymnax", of_gymnax,
            {"rl2": _OF_ONE_TASK},
            "Lange 2022, gymnax, https://github.com/RobertTLange/gymnax",
        ),
    },
)  # fmt: skip
