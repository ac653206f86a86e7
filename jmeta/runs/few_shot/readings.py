"""How queries are predicted: together or one by one, and as they are or mirrored too."""

from jmeta import augment, evaluation
from jmeta.errors import RunError

_BOTH_WAYS = (lambda image: image, augment.mirror)


def reading(together: bool, mirror: bool = False) -> evaluation.Predict:
    """A reading of episodes of pictures; what has no batch statistics is the same and quicker together."""
    plain = evaluation.transductive if together else evaluation.inductive
    return evaluation.with_views(plain, _BOTH_WAYS) if mirror else plain


def check_mirror(mirror: bool, name: str, shape: tuple[int, ...]) -> None:
    """RunError for examples of a shape that have no left and right."""
    if mirror and len(shape) != 3:
        raise RunError(f"--mirror takes pictures, and {name} has none: leave it out.")
