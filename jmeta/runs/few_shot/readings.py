"""How queries are predicted: together or one by one, and in how many views of each picture."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
from jax import Array

from jmeta import augment, evaluation
from jmeta.errors import RunError

ONE, MIRROR, AFFINE = "one", "mirror", "affine"


def _as_it_is(image: Array) -> Array:
    return image


def _fixed(number: int, image: Array) -> Array:
    """One of the small changes of `augment.random_affine`, the same for all images."""
    change = augment.random_affine(degrees=10.0, scale=0.15, shear=0.15, shift=0.05)
    return change(jax.random.key(number), image)


VIEWS: Mapping[str, Sequence[Callable[[Array], Array]]] = {
    ONE: (_as_it_is,),
    MIRROR: (_as_it_is, augment.mirror),
    AFFINE: (_as_it_is, *(partial(_fixed, number) for number in range(8))),
}


def reading(together: bool, views: str = ONE) -> evaluation.Predict:
    """A reading of episodes, in one of `VIEWS`; what has no batch statistics is the same and quicker together."""
    plain = evaluation.transductive if together else evaluation.inductive
    return plain if views == ONE else evaluation.with_views(plain, VIEWS[views])


def check_views(views: str, name: str, shape: tuple[int, ...]) -> None:
    """RunError for views of examples whose shape is not that of pictures."""
    if views != ONE and len(shape) != 3:
        raise RunError(f"--views {views} takes pictures, and {name} has none: leave it out.")
