"""The table of algorithms has all of them."""

import inspect

from algorithms_table import ALGORITHMS

import jmeta


def names(code):
    """All names that a function reads, in functions within it too."""
    inside = [names(constant) for constant in code.co_consts if inspect.iscode(constant)]
    return set(code.co_names).union(*inside)


def test_every_factory_has_a_row():
    exported = {name: getattr(jmeta.algorithms, name) for name in jmeta.algorithms.__all__}
    factories = {
        name
        for name, value in exported.items()
        if inspect.isfunction(value) and inspect.signature(value).return_annotation is jmeta.Learner
    }
    assert {"maml", "ridge", "attention_learner"} <= factories
    assert factories <= set().union(*(names(row.make.__code__) for row in ALGORITHMS.values()))
