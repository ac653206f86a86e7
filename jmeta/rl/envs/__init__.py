"""Environments as pure functions."""

from jmeta.rl.envs.actions import action_like, random_action, unit_actions
from jmeta.rl.envs.asking import ByInstance, Stream, by_instance, label_or_ask
from jmeta.rl.envs.bandits import bandit, bernoulli_bandit, dependent_bandit, gaussian_bandit
from jmeta.rl.envs.cart_pole import CartPoleState, Pole, cart_pole
from jmeta.rl.envs.checked import checked
from jmeta.rl.envs.from_gymnasium import PythonState, from_gymnasium
from jmeta.rl.envs.from_gymnax import from_gymnax
from jmeta.rl.envs.points import PointState, point_navigation, semi_circle
from jmeta.rl.envs.tabular_mdp import MDP, MDPState, tabular_mdp

__all__ = [
    "MDP", "ByInstance", "CartPoleState", "MDPState", "PointState", "Pole", "PythonState", "Stream", "action_like",
    "bandit", "bernoulli_bandit", "by_instance", "cart_pole", "checked", "dependent_bandit", "from_gymnasium",
    "from_gymnax", "gaussian_bandit", "label_or_ask", "point_navigation", "random_action", "semi_circle",
    "tabular_mdp", "unit_actions",
]  # fmt: skip
