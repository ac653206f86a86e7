"""Exact answers of small problems, and what well-known strategies get on them."""

from jmeta.rl.exact.bandit_strategies import (
    Strategy,
    epsilon_greedy,
    gittins_like_index,
    greedy,
    index_strategy,
    optimal_strategy,
    optimistic_thompson,
    random_arm,
    simulate_bandit,
    thompson,
    ucb1,
)
from jmeta.rl.exact.bayes import BanditSolution, bayes_optimal_bandit, count_states, optimal_arm
from jmeta.rl.exact.closed_forms import DependentValue, NavigationValue, dependent_bandit_value, navigation_value
from jmeta.rl.exact.mdp import (
    Experience,
    MDPStrategy,
    bonus_plan,
    epsilon_greedy_plan,
    greedy_plan,
    opsrl,
    posterior_mean,
    posterior_sample,
    psrl,
    random_plan,
    simulate_mdp,
    ucrl2,
    value_iteration,
)
from jmeta.rl.exact.simulation import Estimate, estimate

__all__ = [
    "BanditSolution", "DependentValue", "Estimate", "Experience", "MDPStrategy", "NavigationValue", "Strategy",
    "bayes_optimal_bandit", "bonus_plan", "count_states", "dependent_bandit_value", "epsilon_greedy",
    "epsilon_greedy_plan", "estimate", "gittins_like_index", "greedy", "greedy_plan", "index_strategy",
    "navigation_value", "opsrl", "optimal_arm", "optimal_strategy", "optimistic_thompson", "posterior_mean",
    "posterior_sample", "psrl", "random_arm", "random_plan", "simulate_bandit", "simulate_mdp", "thompson", "ucb1",
    "ucrl2", "value_iteration",
]  # fmt: skip
