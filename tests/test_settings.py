"""Settings: the flat view of nested dataclasses, reading of files, and what each may be."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmeta.errors import RunError
from jmeta.settings import check, differences, flag, names, read, replaced, setting, to_dict


@dataclasses.dataclass(frozen=True)
class Inner:
    inner_lr: float = setting(0.4, above=0, swept=True)
    inner_steps: int = setting(1, least=0, most=2**31 - 1)
    truncation: int | None = setting(None, least=0)


@dataclasses.dataclass(frozen=True)
class Net:
    network: str = setting("conv4", choices=("conv4", "mlp"))
    features: tuple[int, ...] = setting((64,), least=1)


@dataclasses.dataclass(frozen=True)
class Everything:
    algorithm: str = "maml"
    learner: Inner = Inner()
    network: Net = Net()
    rotations: bool = False
    data_dir: str | None = setting(None, place=True)


START = Everything()
VALUES = st.fixed_dictionaries(
    {
        "algorithm": st.text(),
        "inner_lr": st.floats(allow_nan=False),
        "inner_steps": st.integers(),
        "truncation": st.none() | st.integers(),
        "network": st.text(),
        "features": st.lists(st.integers()).map(tuple),
        "rotations": st.booleans(),
        "data_dir": st.none() | st.text(),
    }
)


@given(VALUES)
def test_what_is_written_as_json_is_read_back(values):
    """A lost field, a list for a tuple, or an integer for a float would come back as another run."""
    settings = replaced(START, values)
    assert to_dict(settings) == {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    back = read(START, json.loads(json.dumps(to_dict(settings))), "config.json")
    assert back == settings and type(back.learner.inner_lr) is float


def test_a_flat_name_reaches_any_depth_and_leaves_the_rest():
    changed = replaced(START, {"inner_lr": 0.1, "features": (8, 8)})
    assert changed == Everything(learner=Inner(inner_lr=0.1), network=Net(features=(8, 8)))
    assert Everything() == START


def test_a_traced_number_may_stand_in_a_setting():
    marker = object()
    assert replaced(START, {"inner_lr": marker}).learner.inner_lr is marker


def test_names_by_mark():
    assert names(START) == [
        "algorithm", "inner_lr", "inner_steps", "truncation", "network", "features", "rotations", "data_dir",
    ]  # fmt: skip
    assert names(START, "swept") == ["inner_lr"] and names(START, "place") == ["data_dir"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inner_stesp": 2}, ["inner_stesp", "did you mean inner_steps?"]),
        ({"bananas": 2}, ["bananas", "leave it out"]),
        ({"inner_steps": 1.5}, ["inner_steps 1.5", "a whole number"]),
        ({"inner_steps": True}, ["inner_steps True", "a whole number"]),
        ({"inner_lr": "big"}, ["inner_lr 'big'", "a number"]),
        ({"rotations": 1}, ["rotations 1", "true or false"]),
        ({"truncation": "x"}, ["truncation 'x'", "a whole number or null"]),
        ({"features": 64}, ["features 64", "a list, each a whole number"]),
        ({"features": [1, "x"]}, ["features [1, 'x']", "a list"]),
    ],
)
def test_what_can_not_be_meant_is_refused_in_one_sentence(values, words):
    with pytest.raises(RunError) as error:
        read(START, values, "my.toml")
    assert "my.toml has" in str(error.value) and all(word in str(error.value) for word in words)


def test_a_whole_number_is_a_number():
    assert read(START, {"inner_lr": 1}, "my.toml").learner.inner_lr == 1.0


def test_an_unknown_name_is_not_replaced_in_silence():
    with pytest.raises(RunError, match="did you mean 'inner_lr'"):
        replaced(START, {"inner_rl": 1.0})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inner_lr": 0.0}, "--inner-lr must be a number above 0, got 0.0"),
        ({"inner_lr": float("nan")}, "--inner-lr must be a number above 0, got nan"),
        ({"inner_lr": float("inf")}, "--inner-lr must be a number above 0, got inf"),
        ({"inner_lr": 1e39}, "--inner-lr must be of a size that programs compute with, 1.18e-38 to 3.4e+38, got 1e+39"),
        ({"inner_lr": 1e-45}, "programs compute with, 1.18e-38 to 3.4e+38, got 1e-45"),  # 0 there
        ({"inner_steps": -1}, "--inner-steps must be 0 to 2147483647, got -1"),
        ({"inner_steps": 2**31}, "--inner-steps must be 0 to 2147483647, got 2147483648"),
        ({"truncation": -1}, "--truncation must be 0 or more, got -1"),
        ({"truncation": 2**31}, "--truncation must be 2147483647 or less, got 2147483648"),
        ({"features": (8, 0)}, "--features must be 1 or more, got 0"),
        ({"network": "cnov4"}, "there is no network 'cnov4': did you mean 'conv4'?"),
    ],
)
def test_check_names_the_flag_and_what_it_may_be(values, words):
    with pytest.raises(RunError) as error:
        check(replaced(START, values))
    assert words in str(error.value)


def test_what_is_allowed_passes():
    check(START)
    check(replaced(START, {"truncation": 0, "inner_steps": 0, "features": ()}))
    check(replaced(START, {"inner_lr": float(np.finfo(np.float32).max)}))
    check(replaced(START, {"inner_lr": float(np.finfo(np.float32).tiny)}))


def test_differences_name_flags_and_pass_over_places():
    one, other = to_dict(START), to_dict(replaced(START, {"features": (8, 8), "data_dir": "x"}))
    assert differences(one, other, ["data_dir"]) == ["--features 8 8, not 64"]
    assert differences(one, {**one, "context_size": 5}, []) == ["--context-size 5, not None"]
    assert flag("query_shot") == "--query-shot"
