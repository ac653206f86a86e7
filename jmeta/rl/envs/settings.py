"""What each environment of the catalog has to set; its factory takes the same."""

import dataclasses

from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Arms:
    """A bandit, or a Gaussian one.

    Attributes:
        arms: of a bandit.
        pulls: of a bandit's episode; for RL^2 and more than 30 of them other defaults are right, as --help then shows.
    """

    arms: int = setting(5, least=1)
    pulls: int = setting(10, least=1)


@dataclasses.dataclass(frozen=True)
class DependentArms:
    """A dependent bandit, of two arms.

    Attributes:
        p: the probability of one arm, 1 - p that of the other; otherwise drawn from 0 to 1.
        pulls: of an episode.
    """

    p: float | None = setting(None, least=0, most=1)
    pulls: int = setting(100, least=1)


@dataclasses.dataclass(frozen=True)
class Asking:
    """A stream of examples to label, or to ask for the label of.

    Attributes:
        classes: of a stream.
        length: examples of a stream, drawn from all.
        pool: examples of each class.
        ask: the reward of a request.
    """

    classes: int = setting(3, least=2)
    length: int = setting(30, least=1)
    pool: int = setting(20, least=1)
    ask: float = setting(-0.05)


@dataclasses.dataclass(frozen=True)
class TabularMDP:
    """An MDP drawn at random.

    Attributes:
        states: of an MDP.
        actions: of an MDP.
        horizon: steps of an episode.
    """

    states: int = setting(10, least=1)
    actions: int = setting(5, least=1)
    horizon: int = setting(10, least=1)


@dataclasses.dataclass(frozen=True)
class Navigation:
    """Moving a point to a goal in the plane.

    Attributes:
        horizon: steps of an episode.
    """

    horizon: int = setting(100, least=1)


@dataclasses.dataclass(frozen=True)
class SemiCircle:
    """Looking for a goal on a half circle.

    Attributes:
        horizon: steps of an episode.
    """

    horizon: int = setting(60, least=1)


@dataclasses.dataclass(frozen=True)
class CartPole:
    """Carts and poles of many sizes.

    Attributes:
        horizon: the most steps of an episode.
    """

    horizon: int = setting(200, least=1)
