"""The programs behind `jmeta rl`: each a module with a `Config` and a `main(config)`."""

PROGRAMS = {
    "train": "train RL^2 or MAML on a family of environments, several seeds in one program",
    "evaluate": "what a trained agent gets on new tasks, beside the exact optimum and classic strategies",
    "plot": "draw its training, its returns as it learns a task, and paths of navigation",
    "estimators": "bias and variance of the meta-gradient's estimators, against the exact one",
}
"""Name and what it shows."""
