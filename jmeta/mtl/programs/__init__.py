"""The programs behind `jmeta mtl`: each a module with a `Config` and a `main(config)`."""

PROGRAMS = {
    "digits": "the scikit-learn digits as four tasks: the estimators beside classifiers of each task alone",
    "join": "meta-learning and multi-task learning together, on problems of binary tasks from one alphabet",
    "multimnist": "two overlapped digits, two heads: every weighting and aggregator beside single tasks",
    "school": "examination scores of 139 schools: learned relatedness beside a regression for each school",
    "synthetic": "tasks whose covariance is known: how well it is found",
    "toy": "two tasks in the plane: where every rule ends, and its trajectories",
}
"""Name and what it shows."""
