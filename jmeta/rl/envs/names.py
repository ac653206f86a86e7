"""Environments by name, for command lines."""

import difflib
import inspect
from collections.abc import Callable

from jmeta.rl.envs.bernoulli_bandit import bernoulli_bandit
from jmeta.rl.envs.cart_pole import cart_pole
from jmeta.rl.envs.dependent_bandit import dependent_bandit
from jmeta.rl.envs.gaussian_bandit import gaussian_bandit
from jmeta.rl.envs.point_navigation import point_navigation
from jmeta.rl.envs.tabular_mdp import tabular_mdp
from jmeta.rl.types import Env

ENVS: dict[str, Callable[..., Env]] = {
    "bandit": bernoulli_bandit,
    "gaussian-bandit": gaussian_bandit,
    "dependent-bandit": dependent_bandit,
    "mdp": tabular_mdp,
    "navigation": point_navigation,
    "cart-pole": cart_pole,
}
"""The factory of each name."""


def env_named(name: str, **settings: object) -> Env:
    """Make the environment of a name.

    Args:
        name: one of `ENVS`.
        settings: arguments of its factory.

    Returns:
        An `Env`.

    Raises:
        ValueError: if there is no such name, or no such setting, or a setting is missing or not possible.

    Example:
        >>> env_named("bandit", arms=5, pulls=10).horizon
        10
        >>> env_named("bandits", arms=5, pulls=10)
        Traceback (most recent call last):
        ValueError: there is no environment 'bandits': did you mean 'bandit'?
    """
    if name not in ENVS:
        raise ValueError(f"there is no environment {name!r}: {_instead(name, list(ENVS))}")
    factory = ENVS[name]
    parameters = inspect.signature(factory).parameters
    for setting in settings:
        if setting not in parameters:
            raise ValueError(f"{name} has no setting {setting!r}: {_instead(setting, list(parameters))}")
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in settings]
    if missing:
        raise ValueError(f"{name} needs {' and '.join(missing)}, got {', '.join(settings) or 'no settings'}")
    return factory(**settings)


def _instead(got: str, known: list[str]) -> str:
    close = difflib.get_close_matches(got.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
