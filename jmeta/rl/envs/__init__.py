"""Environments as pure functions, one file each."""

from jmeta.rl.envs.actions import action_like, random_action
from jmeta.rl.envs.bernoulli_bandit import bandit, bernoulli_bandit
from jmeta.rl.envs.cart_pole import CartPoleState, Pole, cart_pole
from jmeta.rl.envs.checked import checked
from jmeta.rl.envs.dependent_bandit import dependent_bandit
from jmeta.rl.envs.from_gymnasium import PythonState, from_gymnasium
from jmeta.rl.envs.from_gymnax import from_gymnax
from jmeta.rl.envs.gaussian_bandit import gaussian_bandit
from jmeta.rl.envs.point_navigation import PointState, point_navigation
from jmeta.rl.envs.semi_circle import semi_circle
from jmeta.rl.envs.tabular_mdp import MDP, MDPState, tabular_mdp
from jmeta.rl.envs.unit_actions import unit_actions

__all__ = [
    "MDP",
    "CartPoleState",
    "MDPState",
    "PointState",
    "Pole",
    "PythonState",
    "action_like",
    "bandit",
    "bernoulli_bandit",
    "cart_pole",
    "checked",
    "dependent_bandit",
    "from_gymnasium",
    "from_gymnax",
    "gaussian_bandit",
    "point_navigation",
    "random_action",
    "semi_circle",
    "tabular_mdp",
    "unit_actions",
]
