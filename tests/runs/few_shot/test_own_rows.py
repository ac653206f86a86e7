"""A learner, a network, tasks and data of a file outside the package, on the command line from training to the end."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from PIL import Image
from small_runs import PLAIN, TINY, assert_same_run

import jmeta
from jmeta.algorithms.catalog import LEARNERS
from jmeta.errors import RunError
from jmeta.registry import TRUST, named_in
from jmeta.runs.engine.area import load_run
from jmeta.runs.few_shot import AREA, EvaluateConfig, evaluate
from jmeta.runs.few_shot.trained import load_settings, load_trained
from jmeta.settings import names

pytestmark = pytest.mark.standard_promotion

MINE = '''
"""What a user would write."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import jmeta
from jmeta import Batch, Episode, losses
from jmeta.algorithms.row import Row


def shrunk(model, *, inner_optimizer, inner_steps, loss_fn, pull=0.5, name="plain"):
    """MAML whose parameters are pulled to the origin first."""
    assert isinstance(pull, float) and name == "plain"
    maml = jmeta.maml(model, inner_optimizer=inner_optimizer, inner_steps=inner_steps, loss_fn=loss_fn)
    start = lambda params: jax.tree.map(lambda p: (1 - pull) * p, params)
    return jmeta.episodic(
        maml.init, lambda params, support: maml.adapt(start(params), support), maml.predict, losses.judge(loss_fn)
    )


by_features = Row(lambda encoder: jmeta.prototypical(encoder), "features near the mean", numbers=False)


def broken(encoder, *, color):
    return jmeta.prototypical(encoder)


def nothing(encoder):
    return encoder


def net(outputs):
    """Two layers."""
    return nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(8), nn.relu, nn.Dense(outputs)])


def lines(shot, query_shot):
    """Lines through the origin to regress."""

    def sample(key):
        slope_key, x_key = jax.random.split(key)
        x = jax.random.normal(x_key, (shot + query_shot, 1))
        y = x * jax.random.normal(slope_key, ())
        return Episode(Batch(x[:shot], y[:shot]), Batch(x[shot:], y[shot:]))

    return sample


def halves(key):
    """Two classes on the two sides of a point."""
    y = jnp.tile(jnp.eye(2), (3, 1))
    x = jax.random.normal(key, ()) + jnp.where(y[:, :1] > 0, 1.0, -1.0)
    return Episode(Batch(x[:4], y[:4]), Batch(x[4:], y[4:]))


def marked(shot, query_shot):
    """Texts of two classes, as tokens and a mask."""
    rows = 2 * (shot + query_shot)

    def sample(key):
        tokens = jax.random.randint(key, (rows, 5), 0, 4) + 4 * (jnp.arange(rows) % 2)[:, None]
        x = {"tokens": tokens, "mask": jnp.ones(tokens.shape, bool).at[:, 3:].set(False)}
        y = jnp.tile(jnp.eye(2), (shot + query_shot, 1))
        cut = lambda part: Batch(jax.tree.map(lambda a: a[part], x), y[part])
        return Episode(cut(slice(0, 2 * shot)), cut(slice(2 * shot, None)))

    return sample


class Texts(nn.Module):
    """The mean of the vectors of a text."""

    outputs: int

    @nn.compact
    def __call__(self, x):
        vectors = nn.Embed(8, self.outputs)(x["tokens"])
        mask = x["mask"][..., None].astype(vectors.dtype)
        return (vectors * mask).sum(1) / mask.sum(1)


def stripes():
    return np.tile(np.arange(16, dtype=np.uint8)[:, None, None, None] * 15, (1, 8, 8, 8))


def no_sample(key):
    return key


number = 3
'''
STEPS = ("--outer-steps", 20, "--log-every", 5, "--save-every", 10, "--val-episodes", 10, "--devices", 1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(cli, *words):
    result = cli(*words)
    assert result.code == 0, result.err
    return result


def test_a_learner_and_a_network_of_a_file_go_all_the_way(cli, refused, home, shapes):
    """Catches a name that config.json, --resume, evaluate, predict, --config or a group does not find again."""
    own = ("--algorithm", "mine.py:shrunk", "--network", "mine.py:net")
    words = ("train", "--dataset", shapes, *(w for w in TINY if w not in ("--network", "mlp")), *own, "--pull", 0.25)
    ran(cli, *words, "--run-dir", "run")
    stored = json.loads((home / "run" / "config.json").read_text())
    assert (stored["algorithm"], stored["network"], stored["pull"]) == ("mine.py:shrunk", "mine.py:net", 0.25)
    ran(cli, "train", "--run-dir", "run", "--resume", TRUST)
    ran(cli, "train", "--run-dir", "run", "--resume", *own[:2], f"--network={own[3]}")
    another = refused("train", "--run-dir", "run", "--resume", "--pull", 0.5, TRUST)
    assert "belongs to another configuration" in another
    assert "shrunk trained on" in ran(cli, "evaluate", "--run-dir", "run", "--episodes", 20, TRUST).out
    assert json.loads((home / "run" / "evaluation.json").read_text())["algorithm"] == "mine.py:shrunk"
    ran(cli, "train", "--config", "run/config.json", "--run-dir", "again", TRUST)
    with named_in([TRUST]):
        assert_same_run(home / "run", home / "again")
    settings = load_settings(home / "run", trust_code=True)[0]
    assert {"pull", "name", "inner_lr", "inner_optimizer"} <= {*names(settings.learner)}
    (home / "mine.py").rename(home / "moved.py")
    message = refused("evaluate", "--run-dir", "run", "--episodes", 20, TRUST)
    assert "mine.py, and there is no such file here: go to its folder, or give its path" in message


def test_a_row_and_data_of_a_file(cli, home):
    """Catches a row that is not taken as it is, and images of a function that are not split as any others."""
    words = ("--algorithm", "mine.py:by_features", "--dataset", "mine.py:stripes", "--network", "mine.py:net")
    plain = [w for w in PLAIN if w not in ("--network", "mlp")]
    ran(cli, "train", *words, *plain, "--run-dir", "run")
    ran(cli, "evaluate", "--run-dir", "run", "--episodes", 20, TRUST)
    found = json.loads((home / "run" / "evaluation.json").read_text())
    assert found["dataset"] == "stripes" and found["protocol"] == "classes"
    assert found["accuracy"] == 1.0 or found["accuracy"] > 0.6


def test_what_learns_nothing_leaves_a_run_like_any_other(cli, home, shapes):
    """Catches an optimizer, a checkpoint or a prediction that needs parameters."""
    ran(cli, "train", "--dataset", shapes, "--algorithm", "nearest", *PLAIN, "--run-dir", "run")
    ran(cli, "train", "--run-dir", "run", "--resume")
    ran(cli, "evaluate", "--run-dir", "run", "--episodes", 20)
    assert json.loads((home / "run" / "evaluation.json").read_text())["accuracy"] > 0.8
    images = np.load(shapes)["images"]
    for kind, example in ((0, 0), (1, 0), (0, 1), (1, 1)):
        place = home / "support" / str(kind) if example == 0 else home / "query"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[kind, example, :, :, 0]).save(place / f"{kind}{example}.png")
    words = ("predict", "--run-dir", "run", "--support", "support", "--query", "query", "--invert", "no")
    found = [line.split() for line in ran(cli, *words).out.splitlines()]
    assert [(path[-6], name) for path, name, *_ in found] == [("0", "0"), ("1", "1")]


@pytest.mark.parametrize(
    ("tasks", "kind", "shown"), [("lines", "error", "1"), ("halves", "accuracy", "2")], ids=["numbers", "classes"]
)
def test_tasks_of_a_file(cli, home, tasks, kind, shown):
    """Catches numbers that are taken for classes, and a function of a key whose sizes are not known."""
    ran(cli, "train", "--dataset", f"mine.py:{tasks}", *STEPS, "--run-dir", "run")
    stored = json.loads((home / "run" / "config.json").read_text())
    assert (stored["way"], stored["network"]) == (int(shown), "mlp")
    assert (stored["shot"], stored["query_shot"]) == ((10, 10) if tasks == "lines" else (2, 1))
    ran(cli, "evaluate", "--run-dir", "run", "--episodes", 20, TRUST)
    assert kind in json.loads((home / "run" / "evaluation.json").read_text())
    assert not np.isnan(json.loads((home / "run" / "evaluation.json").read_text())[kind])


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["--algorithm", "mine.py:shrnk"],
            "mine.py has no algorithm 'shrnk': did you mean mine.py:shrunk",
        ),
        (["--algorithm", "other.py:shrunk"], "other.py, and there is no such file here"),
        (["--algorithm", "mine.py:number"], "must be a function that returns a Learner, or a Row, got a int"),
        (
            ["--algorithm", "mine.py:broken"],
            "broken asks for color, which nothing gives: name it as one of model, encoder",
        ),
        (["--algorithm", "mine.py:nothing"], "nothing must return a Learner, got a MLPEncoder"),
        (["--algorithm", "cavia", "--network", "mine.py:net"], "mine.py:net takes no context beside its input"),
        (["--network", "mine.py:number"], "mine.py:number must be a function from a number of outputs to a model"),
        (
            ["--network", "mine.py:stripes"],
            "mine.py:stripes can't make a model of 2 outputs (TypeError: stripes() takes 0",
        ),
        (["--dataset", "mine.py:no_sample"], "mine.py:no_sample must draw an Episode"),
        (["--dataset", "mine.py:shrunk"], "must take a key, or shot and query_shot, or nothing, got model"),
        (["--dataset", "mine.py:number"], "mine.py:number must be a Dataset"),
        (["--dataset", "mine.py:halves", "--shot", "3"], "draws tasks of --shot 2 and --query-shot 1, got 3 and 1"),
        (["--dataset", "mine.py:halves", "--algorithm", "baseline"], "learns from all training classes at once"),
        (["--dataset", "mine.py:lines", "--algorithm", "siamese"], "siamese tells classes apart"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_with_a_file_is_one_sentence(refused, home, shapes, words, part):
    data = () if "--dataset" in words else ("--dataset", shapes, "--way", 2, "--query-shot", 2)
    network = () if "--dataset" in words or "--network" in words else ("--network", "mlp")
    assert part in refused("train", *data, *network, *words, "--run-dir", "run")
    assert not (home / "run").exists()


RAISES = """import numpy as np
import jmeta
from jmeta import losses

def fail(x):
    raise KeyError("mine")

def net(outputs):
    return fail(outputs)

def learner(model, *, inner_optimizer, inner_steps, loss_fn):
    maml = jmeta.maml(model, inner_optimizer=inner_optimizer, inner_steps=inner_steps, loss_fn=loss_fn)
    return jmeta.episodic(maml.init, lambda params, support: fail(support), maml.predict, losses.judge(loss_fn))

def unfit(model, *, inner_optimizer, inner_steps, loss_fn):
    maml = jmeta.maml(model, inner_optimizer=inner_optimizer, inner_steps=inner_steps, loss_fn=loss_fn)
    return jmeta.episodic(maml.init, lambda params, support: support.x @ support.x, maml.predict, losses.judge(loss_fn))

def gone():
    return np.load("not-there.npy")
"""


@pytest.mark.parametrize(
    ("words", "lines", "says"),
    [
        (("--network", "raises.py:net"), (9, 6), "can't make a model of 2 outputs (KeyError: 'mine')"),
        (("--algorithm", "raises.py:learner"), (13, 6), "your code raised KeyError: 'mine': mend it."),
        (
            ("--algorithm", "raises.py:unfit"),
            (17,),
            "settings, data and learner don't fit each other (TypeError: dot_general",
        ),
        (("--dataset", "raises.py:gone"), (20,), "raises.py:gone can't be loaded (FileNotFoundError: No such file"),
        (("--algorithm", "loaded.py:learner"), (2,), "loaded.py can't be loaded (ZeroDivisionError: division by zero)"),
        (("--algorithm", "typo.py:learner"), (1,), "typo.py can't be loaded (SyntaxError: '(' was never closed"),
        (("--algorithm", "loaded:learner"), (2,), "it can't be loaded, ZeroDivisionError: division by zero"),
    ],
)
def test_where_own_code_raises_is_shown(cli, home, shapes, words, lines, says):
    """Of an error whose sentence is all there is, or a traceback of which most is of others."""
    (home / "raises.py").write_text(RAISES)
    (home / "loaded.py").write_text("\n1 / 0\n")
    (home / "typo.py").write_text("f(\n")
    data = () if "--dataset" in words else ("--dataset", shapes)
    result = cli("train", *data, "--way", 2, "--query-shot", 2, *words, "--network", "mlp", *words, "--run-dir", "run")
    *shown, last = result.err.splitlines()
    assert result.code == 2 and last.startswith("jmeta: ") and says in last, result.err
    places = [line.strip().split(", in ")[0] for line in shown if line.startswith("  File ")]
    file = words[1].partition(":")[0].removesuffix(".py")
    assert places == [f'File "{home / file}.py", line {line}' for line in lines], result.err


def test_what_an_own_learner_is_told_by_its_parameters(home):
    row = LEARNERS.get("mine.py:shrunk")
    assert row.fixed_way and row.numbers and row.what == "MAML whose parameters are pulled to the origin first"
    assert LEARNERS.get(f"{home}/mine.py:shrunk").settings().pull == 0.5
    assert LEARNERS.get("mine.py:shrunk") is row, "settings of two look-ups are of one class"


@pytest.mark.parametrize("field", ["algorithm", "network", "dataset"])
@pytest.mark.parametrize("place", ["evil.py:thing", "evil:thing"])
def test_code_that_a_run_folder_names_is_not_run(refused, finished, home, field, place):
    """Fails where a folder that someone else made runs what its config.json names, by any command or from Python."""
    (home / "evil.py").write_text("open('was-run', 'w').close()\nthing = 1\n")
    shutil.copytree(finished, home / "run")
    config = home / "run" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), field: place}))
    (home / "some.toml").write_text(f'{field} = "{place}"\n')
    for words in (
        ("evaluate", "--run-dir", "run", "--episodes", 2),
        ("plot", "--run-dir", "run", "--episodes", 2),
        ("train", "--run-dir", "run", "--resume"),
        ("train", "--config", "run/config.json", "--run-dir", "new"),
        ("train", "--config", "some.toml", "--run-dir", "new"),
    ):
        assert f"'{place}', which a file names and this command does not" in refused(*words), words
    reads = {"load_trained": load_trained, "load_settings": load_settings, "load_run": partial(load_run, AREA)}
    if field == "dataset":  # which the settings do not need
        del reads["load_run"]
    for name, read in reads.items():
        with pytest.raises(RunError, match=r"which a file names and this command does not: .*trust_code=True in"):
            read(home / "run")
        assert not (home / "was-run").exists(), name
    with pytest.raises(RunError, match="which a file names and this command does not"):
        evaluate(EvaluateConfig(str(home / "run"), episodes=2))
    assert not (home / "was-run").exists()
    for read in reads.values() if field != "dataset" else ():
        with pytest.raises(RunError, match="must be a function"):
            read(home / "run", trust_code=True)


def test_trees_are_trained_on_kept_and_loaded(cli, home):
    """Catches inputs of one array alone, or whole numbers that become floats on the way."""
    words = ("--algorithm", "prototypical", "--dataset", "mine.py:marked", "--network", "mine.py:Texts")
    ran(cli, "train", *words, "--query-shot", 3, *STEPS, "--run-dir", "run")
    ran(cli, "evaluate", "--run-dir", "run", "--episodes", 20, TRUST)
    run = jmeta.load("run", trust_code=True)
    x = {"tokens": np.array([[1, 2, 3, 0, 0], [5, 6, 7, 4, 4]], np.int32), "mask": np.arange(10).reshape(2, 5) % 5 < 3}
    found = run.learner.predict(run.learner.adapt(run.params, jmeta.Batch(x, np.eye(2, dtype=np.float32))), x)
    assert found.argmax(1).tolist() == [0, 1]
    with pytest.raises(RunError, match="trees of arrays are for a script"):
        jmeta.predict("run", {"a": x, "b": x}, x, trust_code=True)
