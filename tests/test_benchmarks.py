"""The parts of benchmarks/ that can be wrong without anybody noticing: counts, ratios, layouts, and the pipes."""

import doctest
import importlib
import itertools
import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmeta

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import driver, formulas, learners, peers, results, tables  # noqa: E402
from benchmarks.__main__ import Config, check  # noqa: E402
from benchmarks.operations import matrix_operations  # noqa: E402
from benchmarks.parameters import images_to_torch, neutral_name, to_torch  # noqa: E402
from benchmarks.results import Comparison, Goal, Rate, Results, Start, Timing  # noqa: E402
from benchmarks.workloads import IMPLEMENTATIONS, WORKLOADS, find, from_request, why_not  # noqa: E402
from jmeta.nets.conv import conv3x3  # noqa: E402

A, B, SQUARE = jnp.ones((2, 3)), jnp.ones((3, 5)), jnp.ones((4, 4))
PRODUCT = 2 * 4**3  # operations of SQUARE @ SQUARE


@pytest.mark.parametrize("name", ["formulas", "operations", "driver", "results", "tables", "workloads"])
def test_docstrings(name):
    tested = doctest.testmod(importlib.import_module(f"benchmarks.{name}"))
    assert tested.failed == 0


def test_matrix_products_are_counted():
    assert matrix_operations(jnp.matmul, A, B) == 2 * 2 * 3 * 5
    batched = lambda a, b: jnp.einsum("tij,tjk->tik", a, b)
    assert matrix_operations(batched, jnp.ones((7, 2, 3)), jnp.ones((7, 3, 5))) == 7 * 2 * 2 * 3 * 5
    assert matrix_operations(jnp.sin, A) == 0
    shapes = jax.ShapeDtypeStruct((2, 3), jnp.float32), jax.ShapeDtypeStruct((3, 5), jnp.float32)
    assert matrix_operations(jax.jit(jnp.matmul), *shapes) == 60


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_counted(groups):
    def conv(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )

    counted = matrix_operations(conv, jnp.ones((3, 8, 8, 4)), jnp.ones((3, 3, 4 // groups, 6)))
    assert counted == 2 * (3 * 4 * 4 * 6) * (9 * 4 // groups)


def test_loops_count_as_often_as_they_run():
    square = lambda x: x @ x
    assert matrix_operations(lambda x: lax.fori_loop(0, 5, lambda i, c: square(c), x), SQUARE) == 5 * PRODUCT
    scanned = lambda x: lax.scan(lambda c, _: (square(square(c)), None), x, None, length=3)[0]
    assert matrix_operations(scanned, SQUARE) == 6 * PRODUCT
    mapped = lambda xs: lax.map(scanned, xs)
    assert matrix_operations(mapped, jnp.ones((7, 4, 4))) == 42 * PRODUCT
    gradient = jax.grad(lambda x: jnp.sum(lax.fori_loop(0, 5, lambda i, c: c @ SQUARE, x)))
    assert matrix_operations(gradient, SQUARE) == 5 * PRODUCT  # linear, so that the forward pass is not needed


def test_while_loops_of_a_known_length_are_counted():
    def loop(start, limit, step):
        body = lambda c: (c[0] + step, c[1] @ c[1])
        return lambda x: lax.while_loop(lambda c: c[0] < limit, body, (start, x))[1]

    assert matrix_operations(loop(0, 3, 1), SQUARE) == 3 * PRODUCT
    assert matrix_operations(loop(1, 8, 2), SQUARE) == 4 * PRODUCT
    assert matrix_operations(loop(5, 3, 1), SQUARE) == 0


def test_while_loops_of_an_unknown_length_are_refused():
    with pytest.raises(ValueError, match="unknown length"):
        matrix_operations(lambda x, n: lax.fori_loop(0, n, lambda i, c: c @ c, x), SQUARE, 3)
    assert matrix_operations(lambda x, n: lax.fori_loop(0, n, lambda i, c: c + c, x), SQUARE, 3) == 0


def test_products_without_a_rule_are_refused():
    def solve(b):
        return lax.custom_linear_solve(lambda x: SQUARE @ x, b, lambda _, b: SQUARE @ b)

    with pytest.raises(ValueError, match="inside custom_linear_solve"):
        matrix_operations(solve, jnp.ones(4))


def test_branches_count_as_the_dearest():
    chosen = lambda i, x: lax.switch(i, [lambda x: x, lambda x: x @ x, lambda x: x @ x @ x], x)
    assert matrix_operations(chosen, 1, SQUARE) == 2 * PRODUCT


def test_what_no_output_depends_on_is_not_counted():
    def wasteful(x):
        dead = jax.jit(lambda x: (x @ x @ x, x + 1))(x)
        return dead[1]

    assert matrix_operations(wasteful, SQUARE) == 0
    assert matrix_operations(jax.jit(wasteful), SQUARE) == 0
    # Of two carries, one feeds the other from step to step, and a third feeds nobody.
    carried = lambda c, _: ((c[0] + c[1], c[1] @ SQUARE, c[2] @ c[2]), c[2] @ c[0])
    kept = lambda x: lax.scan(carried, (x, x, x), None, length=3)[0][0]
    assert matrix_operations(kept, SQUARE) == 3 * PRODUCT
    stacked = lambda x: lax.scan(carried, (x, x, x), None, length=3)[1]
    assert matrix_operations(stacked, SQUARE) == 3 * 3 * PRODUCT


def test_looks_inside_remat_and_functions_with_their_own_derivative():
    @jax.custom_vjp
    def with_vjp(x):
        return x @ x

    with_vjp.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))
    assert matrix_operations(with_vjp, SQUARE) == PRODUCT
    assert matrix_operations(jax.grad(lambda x: jnp.sum(with_vjp(x) ** 2)), SQUARE) == 3 * PRODUCT

    @jax.custom_jvp
    def with_jvp(x):
        return x @ x

    with_jvp.defjvp(lambda x, t: (with_jvp(*x), x[0] @ t[0]))
    assert matrix_operations(with_jvp, SQUARE) == PRODUCT
    twice = lambda x: jnp.sum(jax.checkpoint(lambda x: jnp.sin(x @ SQUARE) @ SQUARE)(x))
    # Sum of sin(x S) S: the sine's argument again, and back through both products.
    assert matrix_operations(jax.grad(twice), SQUARE) == 3 * PRODUCT


WIDTHS = (3, 7, 5, 2)
LAYERS = [2 * a * b for a, b in itertools.pairwise(WIDTHS)]


def mlp_loss(weights, x, y):
    for w in weights[:-1]:
        x = jax.nn.relu(x @ w)
    return jnp.mean((x @ weights[-1] - y) ** 2)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_formula_of_maml_is_what_reverse_mode_takes(steps, first_order):
    def loss(weights, support, query):
        def step(_, w):
            grads = jax.grad(mlp_loss)(lax.stop_gradient(w) if first_order else w, *support)
            grads = lax.stop_gradient(grads) if first_order else grads
            return jax.tree.map(lambda w, g: w - 0.1 * g, w, grads)

        return mlp_loss(lax.fori_loop(0, steps, step, weights), *query)

    weights = [jnp.ones(shape) for shape in itertools.pairwise(WIDTHS)]
    batch = lambda n: (jnp.ones((n, 3)), jnp.ones((n, 2)))
    counted = matrix_operations(jax.jit(jax.grad(loss)), weights, batch(4), batch(6))
    assert counted == formulas.maml_operations(LAYERS, 4, 6, steps, first_order=first_order)


@pytest.mark.parametrize("steps", [1, 3])
def test_formula_of_anil_is_what_reverse_mode_takes(steps):
    def loss(params, support, query):
        encoder, head = params
        encode = lambda x: jax.nn.relu(jax.nn.relu(x @ encoder[0]) @ encoder[1])
        z, head_loss = encode(support[0]), lambda head, z, y: mlp_loss([head], z, y)
        step = lambda _, h: h - 0.1 * jax.grad(head_loss)(h, z, support[1])
        return head_loss(lax.fori_loop(0, steps, step, head), encode(query[0]), query[1])

    weights = [jnp.ones(shape) for shape in itertools.pairwise(WIDTHS)]
    batch = lambda n: (jnp.ones((n, 3)), jnp.ones((n, 2)))
    counted = matrix_operations(jax.grad(loss), (weights[:2], weights[2]), batch(4), batch(6))
    assert counted == formulas.anil_operations(LAYERS[:2], LAYERS[2], 4, 6, steps)


def test_layers_of_the_workloads_are_those_of_the_networks():
    for workload in (WORKLOADS["sinusoid"], WORKLOADS["conv4"], WORKLOADS["20-way"]):
        net = jmeta.nets.Conv4(workload.way) if workload.way else jmeta.nets.MLP((40, 40), 1)
        x = learners.sample_input(workload)[:1]
        params = jax.eval_shape(net.init, jax.random.key(0), x)
        layers, head = formulas.layer_operations(workload)
        assert sum(layers) + head == matrix_operations(net.apply, params, x)
        assert layers[0] == (2 * 14 * 14 * 9 * 64 if workload.way else 80)


def test_names_of_parameters():
    assert neutral_name(("params", "encoder", "Conv_0", "kernel")) == "conv0.kernel"
    assert neutral_name(("params", "BatchNorm_3", "scale")) == "norm3.scale"
    assert neutral_name(("head", "params", "head", "bias")) == "head.bias"
    with pytest.raises(ValueError, match="got 'LSTM_0'"):
        neutral_name(("params", "LSTM_0", "kernel"))


@pytest.mark.parametrize("size", [14, 7])
def test_pytorch_sees_the_same_convolution_turned(size):
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, size, size, 3)), random.normal(size=(3, 3, 3, 5))

    @jax.jit
    def conv2d(x, weight):  # as torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
        layout = ("NCHW", "OIHW", "NCHW")
        return lax.conv_general_dilated(x, weight, (2, 2), [(1, 1), (1, 1)], dimension_numbers=layout)

    ours = jax.jit(lambda x, kernel: conv3x3(x, kernel, stride=2))(jnp.asarray(x), jnp.asarray(kernel))
    weight = to_torch({"conv0.kernel": kernel})["conv0.weight"]
    np.testing.assert_allclose(images_to_torch(np.asarray(ours)), conv2d(images_to_torch(x), weight), atol=1e-5)


def test_other_parameters_in_pytorchs_layout():
    found = to_torch({"head.kernel": np.arange(6.0).reshape(3, 2), "norm0.scale": np.ones(4), "conv0.bias": np.ones(2)})
    assert set(found) == {"head.weight", "norm0.weight", "conv0.bias"}
    assert found["head.weight"].tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("name", ["sinusoid", "omniglot", "anil"])
def test_meta_batches_and_parameters_come_back_from_their_file(name, tmp_path):
    workload = WORKLOADS[name]
    learner = learners.learner_of(workload)
    shapes = jax.eval_shape(learner.init, jax.random.key(0), learners.sample_input(workload))
    params = jax.tree.map(lambda s: np.random.default_rng(s.size).normal(size=s.shape).astype(s.dtype), shapes)
    x = np.ones((2, 3, *learners.sample_input(workload).shape))
    batch = jmeta.Batch(x, np.zeros((2, 3, x.shape[2], max(workload.way, 1))))
    learners.write_meta_batches(tmp_path / "m.npz", params, jmeta.Episode(batch, batch))
    values, meta_batches = learners.read_meta_batches(str(tmp_path / "m.npz"), "float32")
    assert [m.query.x.shape for m in meta_batches] == [x.shape[1:]] * 2
    jax.tree.map(np.testing.assert_array_equal, learners.with_values(shapes, values), params)


ABOUT = {"platform": "cpu", "device": "cpu", "versions": {"jax": "0.1"}}


def timing(*seconds, losses=(1.0, 2.0), steps=2, peak=3 * 2**20, device=None):
    return Timing(steps, seconds, 0.5, 4.0, tuple(losses), ABOUT, peak, 2**20, device)


def comparison(name="conv4", tasks=4, own=(1.0, 2.0, 3.0), peer=(2.0, 4.0, 12.0), exact=(1.0, 2.0)):
    timings = {"jmeta": timing(*own), "torch-loop": timing(*peer, losses=(1.0, 2.5))}
    rates = {"jax-product": Rate(1000, 4, (1.0, 2.0, 4.0))}
    return Comparison(
        name,
        tasks,
        "glyphs",
        timings,
        rates,
        {"torchopt": "it is ill"},
        123,
        {"jmeta": (1.0, 2.0), "torch-loop": exact},
    )


MACHINE = {
    "device": "a machine", "cores": 2, "versions": {"jax": "0.1"}, "date": "2026-01-01", "commit": "abc",
    "settings": {"rounds": 3},
}  # fmt: skip


def test_medians_and_ratios():
    c = comparison()
    assert results.step_seconds(c.timings["jmeta"]) == 1.0
    assert results.tasks_per_second(c, "jmeta") == 4.0
    # Ratios within the rounds are 2, 2 and 4; of the medians, 2.
    assert results.times_as_fast(c, "torch-loop") == 2.0
    uneven = comparison(own=(1.0, 10.0, 1.0), peer=(3.0, 30.0, 2.0))
    assert results.times_as_fast(uneven, "torch-loop") == 3.0


def test_share_of_the_limit():
    # 4 products of 1000 x 1000 in 2 s are 4e9 operations a second; a step takes 1 s.
    assert results.limit(comparison()) == 4e9
    assert results.share_of_limit(comparison(), 3_000_000_000) == 0.75
    assert results.share_of_limit(comparison()._replace(rates={}), 1) is None


def test_growth_of_the_cost_of_a_task():
    few, many = comparison(tasks=4), comparison(tasks=8, own=(2.0, 6.0, 6.0))
    assert results.growth([many, few], "jmeta") == 1.5  # 1/4 s a task, 3/8 s a task
    assert results.growth([few], "jmeta") is None
    assert results.growth([few, many], "torchopt") is None


def test_difference_of_losses():
    assert results.largest_difference([1.0, 2.5], [1.0, 2.0]) == 0.25
    assert results.largest_difference([1.0], [1.0, 2.0]) == 0.0
    assert results.largest_difference([math.nan], [1.0]) == math.inf
    assert results.differences(comparison(exact=(1.0, 2.2)).exact) == {"torch-loop": pytest.approx(0.1)}
    assert results.differences({}) == {}


WHOLE = Results(
    MACHINE,
    (comparison(), comparison(tasks=8), comparison("sinusoid")),
    {"torch-vmap": "No module named 'torch'"},
    Start("maml", "omniglot", (9.0, 10.0, 11.0), (2.0, 3.0, 4.0)),
    Goal("conv4", 8, "omniglot", 0.95, 3, 600, 5.0, ((100, 10.0, 0.5, 0.01), (200, 20.0, 0.96, 0.01)), True),
)


def test_results_come_back_from_json():
    text = results.to_json(WHOLE)
    assert results.from_json(text) == WHOLE
    assert json.loads(text)["comparisons"][0]["needed_operations"] > 0
    assert results.from_json(results.to_json(Results(MACHINE))) == Results(MACHINE)
    with pytest.raises(ValueError, match="measure again"):
        results.from_json('{"machine": {}}')


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "results.json"
    results.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        results.write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_tables():
    text = tables.markdown(WHOLE)
    assert "| jmeta | 4 | 8 |" in text
    assert "| PyTorch, loop over tasks | 2 (2.00 x) | 4 (2.00 x) |" in text
    assert "4 tasks, TorchOpt, loop over tasks: left out, it is ill." in text
    assert "PyTorch, torch.func.vmap: left out, No module named 'torch'." in text
    assert "slower" not in text
    assert "**" not in text
    assert "| `jmeta train --preset maml`, nothing kept | 10.0 |" in text
    assert "| jmeta, whole run | 20 | measured: 96.0 +- 1.0 % |" in text
    assert "| PyTorch, loop over tasks | 400 | 200 steps at its measured rate |" in text  # 2 s a step
    columns = {line.count("|") for line in text.splitlines() if line.startswith("| workload")}
    assert {line.count("|") for line in text.splitlines() if line.startswith("| Conv4-64, 5-way")} == columns


def test_tables_say_where_something_misses():
    behind = comparison(own=(2.0, 2.0, 2.0), peer=(1.0, 1.0, 1.0), exact=(1.0, 2.5))
    text = tables.markdown(Results(MACHINE, (behind,)))
    assert "**jmeta is slower than PyTorch, loop over tasks**" in text
    assert "**2e-01** PyTorch, loop over tasks" in text
    short = WHOLE.goal._replace(reached=False, rows=((100, 10.0, 0.5, 0.01),))
    assert "Not reached: 50.0 +- 1.0 %" in tables.markdown(Results(MACHINE, goal=short))


def test_tables_are_drawn_again_from_json(tmp_path, capsys):
    (tmp_path / "results.json").write_text(results.to_json(WHOLE))
    assert tables.main([str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out.strip() == tables.markdown(WHOLE).strip()
    assert tables.main([str(tmp_path / "none.json")]) == 2
    assert tables.main([]) == 2


WORKER = """
    import pathlib, sys, time
    from benchmarks.protocol import Program, serve_program

    def prepare(request):
        if request["size"] == 0:
            raise ValueError("a size of 0\\nis too small")
        print("libraries print")
        def advance(state, first, steps):
            if first == 13:
                sys.exit("gone")
            with open(request["path"], "a") as file:
                file.write(f"{request['implementation']} {first} {steps}\\n")
            time.sleep(0.001 * steps)
            return state + steps, float(first)
        return Program(0, advance, {"platform": "cpu"}, lambda: 7, lambda: 99)

    if __name__ == "__main__":
        serve_program(prepare)
"""


@pytest.fixture
def trivial(tmp_path, monkeypatch):
    """A module with a worker that waits a millisecond a step; its requests' file, and how to start it."""
    (tmp_path / "trivial_worker.py").write_text(textwrap.dedent(WORKER))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    request = {"path": str(tmp_path / "asked"), "losses": 3, "patience": 60, "size": 1}
    return request, lambda name: driver.worker(name, "trivial_worker", sys.executable, tmp_path)


def test_a_worker_is_asked_through_its_pipe(trivial):
    request, start = trivial
    with start("a") as a:
        reply = driver.ask(a, "prepare", **request, implementation="a")
        assert reply["losses"] == [0.0, 1.0, 2.0]
        assert 0.0005 < reply["step_seconds"] < 0.5
        assert a.started < reply["first_step_at"] < a.started + 60
        assert driver.ask(a, "time", steps=5)["seconds"] >= 0.005
        memory = driver.ask(a, "memory")
        assert memory["device_bytes"] == 7
        assert memory["peak_bytes"] >= memory["before_bytes"] > 2**20
        assert driver.ask(a, "operations") == {"operations": 99}
    assert a.process.poll() is not None
    assert Path(request["path"]).read_text().split("\n")[-2] == "a 3 5"


def test_a_worker_that_fails_or_ends_says_why(trivial):
    request, start = trivial
    with start("a") as a:
        with pytest.raises(driver.WorkerError, match=r"^a failed: ValueError: a size of 0$"):
            driver.ask(a, "prepare", **{**request, "size": 0}, implementation="a")
        driver.ask(a, "prepare", **request, implementation="a")
        driver.ask(a, "time", steps=10)
        with pytest.raises(driver.WorkerError, match="the process of a ended with code 1: gone"):
            driver.ask(a, "time", steps=1)


def test_workers_are_timed_in_alternation(trivial):
    request, start = trivial
    with start("a") as a, start("b") as b:
        for w in (a, b):
            driver.ask(w, "prepare", **request, implementation=w.name)
        Path(request["path"]).write_text("")
        seconds = driver.alternate([a, b], {"a": 1, "b": 3}, 3)
        order = [line.split()[0] for line in Path(request["path"]).read_text().splitlines()]
        assert order == ["a", "b"] * 3
        assert {name: len(s) for name, s in seconds.items()} == {"a": 3, "b": 3}
        assert min(seconds["b"]) >= 0.003
        # Ten times too many at first: what a step was said to take is not what it takes.
        assert 5 <= driver.calibrate(a, 0.0001, 0.02) <= 40


def plan(tmp_path, **changes):
    return driver.Plan({}, 1, 1.0, 3, 10.0, True, {}, tmp_path, print)._replace(**changes)


def test_what_would_take_too_long_or_too_much_is_not_tried(tmp_path):
    small = comparison(peer=(4.0, 4.0, 4.0))  # 2 s a step at 4 tasks
    assert driver.foresee("torch-loop", None, 32, plan(tmp_path)) is None
    assert driver.foresee("torch-loop", small, 8, plan(tmp_path)) is None
    too_long = driver.foresee("torch-loop", small, 32, plan(tmp_path))
    assert too_long == "a step would take 16 s"
    left_out = small._replace(tasks=32, timings={"jmeta": timing(1.0)}, left_out={"torch-loop": too_long})
    assert driver.foresee("torch-loop", left_out, 256, plan(tmp_path)) == too_long
    huge = small._replace(timings={**small.timings, "torch-loop": timing(0.1, peak=2**50)})
    if driver.available_bytes() is not None:
        assert "GiB of memory" in driver.foresee("torch-loop", huge, 8, plan(tmp_path))
    # jmeta's memory does not grow with the tasks.
    whole = small._replace(timings={**small.timings, "jmeta-run": timing(0.1, peak=2**50)})
    assert driver.foresee("jmeta-run", whole, 8, plan(tmp_path)) is None
    huge = small._replace(timings={**small.timings, "torch-loop": timing(0.1, peak=2**50, device=1)})
    assert driver.foresee("torch-loop", huge, 8, plan(tmp_path)) is None


def fake_python(tmp_path, has):
    path = tmp_path / "python"
    tests = " ".join(f"*'import {name}') exit 0;;" for name in has)
    path.write_text(f"#!/bin/sh\ncase \"$2\" in {tests} esac\necho 'ModuleNotFoundError: none' >&2\nexit 1\n")
    path.chmod(0o755)
    return str(path)


def test_peers_that_are_not_installed_are_left_out(tmp_path):
    found, missing = peers.pythons(fake_python(tmp_path, ["numpy", "torch"]), print)
    assert set(found) == {"jmeta", "jmeta-run", "flax-vmap", "jax-product", "torch-vmap", "torch-loop", "torch-product"}
    assert found["jmeta"] == sys.executable
    assert found["torch-loop"] == str(tmp_path / "python")
    assert missing == {"torchopt": "torchopt: ModuleNotFoundError: none"}
    _, missing = peers.pythons(fake_python(tmp_path, ["numpy"]), print)
    assert set(missing) == {"torch-vmap", "torch-loop", "torchopt", "torch-product"}
    _, missing = peers.pythons(str(tmp_path / "nowhere"), print)
    assert "can't be run" in missing["torch-loop"]


def test_settings_that_make_no_sense_are_refused():
    check(Config())
    for wrong, words in (
        ({"workloads": ("sinus",)}, "choose from sinusoid"),
        ({"peers": ("torch",)}, "choose from jmeta-run"),
        ({"peers": ("jmeta",)}, "no peer 'jmeta'"),
        ({"rounds": 0}, "rounds must be 1 or more, got 0"),
        ({"tasks": (4, 0)}, "tasks must be 1 or more, got 0"),
        ({"accuracy": 95.0}, "0.95 is 95 %"),
    ):
        with pytest.raises(ValueError, match=words):
            check(Config(**wrong))


def test_workloads_survive_json_and_know_who_has_none():
    for workload in WORKLOADS.values():
        assert from_request(json.loads(json.dumps(workload._asdict()))) == workload
    assert why_not("torchopt", find("conv4-first")) is not None
    assert why_not("flax-vmap", find("sinusoid")) is not None
    assert all(why_not(name, find("conv4")) is None for name in IMPLEMENTATIONS)


def test_learners_are_the_workloads():
    def size(name):
        init, x = learners.learner_of(WORKLOADS[name]).init, learners.sample_input(WORKLOADS[name])
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(init, jax.random.key(0), x)))

    assert size("sinusoid") == 1 * 40 + 40 + 40 * 40 + 40 + 40 + 1
    assert size("20-way") == size("anil") + 15 * 65


def test_the_shell_script_parses():
    script = ROOT / "benchmarks" / "run.sh"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
