"""Dependencies point one way: what each module may import."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import jmeta
from jmeta import bayes, generative
from jmeta.active import optimization

ROOT = Path(jmeta.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

SCRIPTS = sorted(path.relative_to(ROOT.parent).as_posix() for path in (ROOT.parent / "scripts").rglob("*.py"))

ANYTHING = ("jmeta/__init__.py", "jmeta/__main__.py", "jmeta/cli.py")


def jmeta_names(names: str) -> set[str]:
    return {f"jmeta.{name}" for name in names.split()}


CORE = jmeta_names("types checks losses calls distances inner gradients rules solvers cholesky noise")
GROUND = jmeta_names("errors settings experiment loop registry")
CATALOGS = jmeta_names("algorithms.catalog algorithms.row algorithms.settings nets.catalog")
TRAINING = jmeta_names("training loop sharding episodes ragged evaluation")
SHOWN = {"numpy", "rich", "tyro", "matplotlib", "jmeta.report"}
AREAS = ("rl", "mtl", "active", "continual", "optimizers", "bayes", "generative")

# The longest prefix counts. Where a package is named, all its modules are.
ALLOWED = {
    "types.py": {"jax", "jmeta.checks"},
    "errors.py": set(),
    "checks.py": {"jax", "numpy"},
    "loop.py": {"jax"},
    "settings.py": {"jmeta.errors"},
    "registry.py": {"jmeta.errors"},
    "experiment.py": {"jax", "jmeta.types"},
    "losses.py": {"jax", "optax", "chex", "jmeta.types", "jmeta.checks"},
    "distributions.py": {"jax", *jmeta_names("types losses")},
    "inner.py": {"jax", "optax", "chex", *jmeta_names("types checks losses gradients rules")},
    "rules.py": {"jax", "optax", "jmeta.types"},
    "calls.py": {"jax", "jmeta.types"},
    "distances.py": {"jax", "chex", "jmeta.types", "jmeta.checks"},
    "gradients.py": {"jax"},
    "cholesky.py": {"jax"},
    "noise.py": {"jax", "jmeta.types"},
    "solvers.py": {"jax", "jmeta.types", "jmeta.checks"},
    "nets/": {"jax", "flax", "equinox", "jmeta.nets", *jmeta_names("types checks calls distances")},
    "nets/catalog.py": {"jax", "jmeta.nets", *jmeta_names("types errors settings registry")},
    "augment.py": {"jax"},
    "stored.py": {"numpy"},
    "ragged.py": {"jax", "numpy", "jmeta.checks", "jmeta.stored"},
    "drawing.py": {"jax", "numpy", *jmeta_names("types checks ragged stored")},
    "episodes.py": {"jax", "numpy", *jmeta_names("types checks augment drawing")},
    "varied.py": {"jax", "numpy", *jmeta_names("types checks drawing")},
    "mixed.py": {"jax", *jmeta_names("types checks")},
    "sharding.py": {"jax", "numpy"},
    "training.py": {"jax", "optax", *jmeta_names("types checks rules episodes sharding experiment loop")},
    "evaluation.py": {
        "jax", "numpy", *jmeta_names("types checks losses distributions episodes loop report.statistics"),
    },
    "uncertainty.py": {"jax", "numpy", "scipy", *jmeta_names("types losses distributions")},
    "algorithms/": {"jax", "optax", "chex", *CORE},
    "algorithms/__init__.py": {"jmeta.algorithms"},
    "algorithms/rfs.py": {"jax", "jmeta.algorithms.baseline", *CORE},
    "algorithms/settings.py": {"jmeta.settings"},
    "algorithms/row.py": {"jax", "optax", "jmeta.algorithms.settings", "jmeta.nets.catalog", *GROUND, *CORE},
    "algorithms/catalog.py": {"jax", "jmeta.algorithms", "jmeta.nets", *jmeta_names("registry errors"), *CORE},
    "tasks/": {"jax", *jmeta_names("types checks drawing")},
    "tasks/pixels.py": {"jax", *jmeta_names("types checks")},
    "tasks/curves.py": {"jax", *jmeta_names("types checks cholesky")},
    "tasks/objectives.py": {"jax", "numpy", *jmeta_names("types checks")},
    "tasks/streams.py": {"jax", *jmeta_names("types checks drawing augment ragged")},
    "tasks/sequences.py": {"jax", "numpy", *jmeta_names("types checks")},
    "tasks/__init__.py": {"jmeta.tasks"},
    "tasks/catalog.py": {
        "jax", "numpy", "jmeta.tasks", "jmeta.datasets", "jmeta.nets.catalog",
        *jmeta_names("types episodes errors registry"),
    },
    "report/": {"numpy", "rich", "matplotlib", "jmeta.errors", "jmeta.report"},
    "rl/": {
        "jax", "flax", "numpy", "scipy", "optax", "jmeta.rl", "jmeta.nets", "jmeta.training",
        "jmeta.report.statistics", *GROUND, *CORE,
    },
    "rl/envs/": {"jax", "numpy", "gymnax", "gymnasium", "jmeta.rl", "jmeta.checks"},
    "mtl/": {
        "jax", "numpy", "scipy", "optax", "jmeta.mtl", "jmeta.nets", "jmeta.datasets", "jmeta.report",
        *CORE, *GROUND, *CATALOGS, *TRAINING,
    },
    "mtl/estimators/": {
        "jax", "numpy", "optax", "sklearn", "jmeta.mtl", "jmeta.nets", "jmeta.loop",
        *jmeta_names("report.files report.arrays"),
        *CORE,
    },
    "continual/": {
        "jax", "numpy", "optax", "jmeta.continual", "jmeta.nets", "jmeta.datasets", "jmeta.augment",
        "jmeta.tasks.streams", *CORE, *GROUND, *CATALOGS, *TRAINING,
    },
    "continual/algorithms/": {"jax", "optax", "jmeta.continual.algorithms", *CORE},
    "continual/algorithms/catalog.py": {
        "jax", "optax", "jmeta.continual.algorithms", "jmeta.nets", *GROUND, *CORE,
    },
    "continual/metrics.py": {"jax", "numpy", "jmeta.report"},
    "continual/online/": {"jax", "optax", "jmeta.continual.online", *CORE, *GROUND},
    "continual/online/settings.py": {"jmeta.continual.online", "jmeta.nets.catalog", *GROUND},
    "continual/online/experiment.py": {
        "jax", "numpy", "optax", "jmeta.continual.online", "jmeta.datasets", "jmeta.nets.catalog",
        "jmeta.tasks.sequences", *CORE, *GROUND,
    },
    "active/": {
        "jax", "numpy", "optax", "jmeta.active", "jmeta.nets", "jmeta.datasets", "jmeta.algorithms.prototypical",
        *CORE, *GROUND, *CATALOGS, *TRAINING,
    },
    "active/optimization/": {
        "jax", "numpy", "scipy", "jmeta.active.optimization", *jmeta_names("types checks distributions"),
    },
    "bayes/": {"jax", "optax", "jmeta.bayes", "jmeta.distributions", *CORE},
    "bayes/settings.py": {"jmeta.settings", "jmeta.algorithms.settings"},
    "bayes/catalog.py": {
        "jax", "numpy", "jmeta.bayes", "jmeta.nets", "jmeta.algorithms.row", "jmeta.distributions", *GROUND, *CORE,
    },
    "bayes/exact_waves.py": {"jax", "jmeta.tasks.waves", *jmeta_names("types checks")},
    "bayes/exact.py": {"jax", "numpy", "jmeta.checks", "jmeta.distributions"},
    "generative/": {"jax", "jmeta.generative", "jmeta.distributions", "jmeta.algorithms.neural_process", *CORE},
    "generative/algorithms/attentive_drawing.py": {"jax", "jmeta.generative", "jmeta.nets.drawings", *CORE},
    "generative/catalog.py": {"jmeta.generative", "jmeta.nets", *GROUND},
    "generative/settings.py": {"jmeta.generative", "jmeta.algorithms.settings", *GROUND},
    "generative/experiment.py": {
        "jax", "optax", "jmeta.generative", "jmeta.datasets", "jmeta.augment", "jmeta.nets.drawings",
        *GROUND, *CORE, *TRAINING,
    },
    "generative/evaluation.py": {"jax", "numpy", "jmeta.generative", "jmeta.ragged", "jmeta.nets.drawings", *CORE},
    "generative/floors.py": {"numpy", "scipy", "jmeta.checks"},
    "generative/judge.py": {"jax", "numpy", "optax", "jmeta.augment", *CORE},
    "generative/exact.py": {"numpy", "jmeta.checks"},
    "generative/algorithms/latent_process.py": {
        "jax", "numpy", "jmeta.generative", "jmeta.distributions", "jmeta.algorithms.neural_process", *CORE,
    },
    "optimizers/": {"jax", "numpy", "scipy", "optax", "jmeta.optimizers", "jmeta.loop", *CORE},
    "optimizers/rules/": {"jax", "numpy", "flax", "optax", "jmeta.nets", "jmeta.optimizers", *CORE},
    "optimizers/problems/": {"jax", "numpy", "flax", "jmeta.optimizers", "jmeta.ragged", *CORE},
    "optimizers/catalog.py": {"jax", "jmeta.optimizers", "jmeta.datasets", *GROUND, *CORE},
    "optimizers/told.py": {"jmeta.optimizers", "jmeta.settings"},
    "optimizers/settings.py": {"jmeta.optimizers", "jmeta.algorithms.settings", *GROUND},
    "optimizers/experiment.py": {"jax", "optax", "jmeta.optimizers", "jmeta.sharding", *GROUND, *CORE},
    "datasets/": {
        "jax", "numpy", "scipy", "PIL", "tensorflow_datasets", "sklearn", "rich",
        *jmeta_names("types checks errors registry datasets ragged stored report.files report.arrays"),
    },
    "rl/envs/settings.py": {"jmeta.settings"},
    "rl/envs/installed.py": {"gymnax", "gymnasium", "jmeta.rl", *jmeta_names("errors settings")},
    "rl/envs/catalog.py": {"jmeta.rl", *jmeta_names("errors registry settings")},
    "runs/": set(),
    "runs/use.py": {"safetensors", "jmeta.runs.engine", *SHOWN, *GROUND},
    "runs/catalog.py": {
        *jmeta_names("runs algorithms.catalog nets.catalog tasks.catalog datasets.catalog rl.envs.catalog"),
        *jmeta_names("continual.algorithms.catalog continual.online bayes.catalog algorithms.row"),
        *jmeta_names("generative.catalog optimizers.catalog"),
        *SHOWN, *GROUND,
    },
    "runs/engine/": {
        "jax", "optax", "orbax", "tensorboardX", "jmeta.runs.engine", "jmeta.sharding", "jmeta.evaluation",
        "jmeta.datasets.cache", *SHOWN, *GROUND,
    },
    "runs/report/": {
        *jmeta_names("runs.report runs.engine runs.few_shot runs.bayes runs.mtl runs.catalog tasks.catalog"),
        "jmeta.__version__", *SHOWN, *GROUND,
    },
    "runs/few_shot/learners.py": {"jmeta.bayes.catalog", "jmeta.registry", *CATALOGS},
    "runs/bayes/": {
        "jax", "jmeta.runs.engine", "jmeta.runs.few_shot", "jmeta.runs.bayes", "jmeta.bayes", "jmeta.tasks",
        "jmeta.distributions", "jmeta.uncertainty", *SHOWN, *GROUND, *CORE, *CATALOGS, *TRAINING,
    },
    "runs/few_shot/": {
        "jax", "optax", "PIL", "jmeta.runs.engine", "jmeta.runs.few_shot", "jmeta.algorithms", "jmeta.nets",
        "jmeta.datasets", "jmeta.tasks", "jmeta.augment", "jmeta.distributions",
        *SHOWN, *GROUND, *CORE, *CATALOGS, *TRAINING,
    },
    "runs/rl/": {"jax", "jmeta.runs.engine", "jmeta.runs.rl", "jmeta.rl", *SHOWN, *GROUND, *CORE},
    "runs/continual/": {
        "jax", "jmeta.runs.engine", "jmeta.runs.few_shot", "jmeta.runs.continual", "jmeta.continual", "jmeta.nets",
        "jmeta.augment", "jmeta.tasks.streams", *SHOWN, *GROUND, *CORE, *CATALOGS, *TRAINING,
    },
    "runs/active/": {
        "jax", "jmeta.runs.engine", "jmeta.runs.active", "jmeta.runs.few_shot", "jmeta.active", "jmeta.nets",
        "jmeta.tasks", *SHOWN, *GROUND, *CORE, *CATALOGS, *TRAINING,
    },
    "runs/optimizers/": {
        "jax", "optax", "jmeta.runs.engine", "jmeta.runs.optimizers", "jmeta.optimizers", *SHOWN, *GROUND, *CORE,
    },
    "runs/generative/": {
        "jax", "PIL", "jmeta.runs.engine", "jmeta.runs.generative", "jmeta.runs.few_shot.given", "jmeta.generative",
        "jmeta.datasets", "jmeta.nets.drawings", *SHOWN, *GROUND, *CORE,
    },
    "runs/mtl/": {
        "jax", "jmeta.runs.engine", "jmeta.runs.mtl", "jmeta.mtl", "jmeta.datasets",
        *SHOWN, *GROUND, *CORE, *CATALOGS, *TRAINING,
    },
}  # fmt: skip


def imports(tree: ast.AST, package: str) -> set[str]:
    """Names of all modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from jmeta import inner` and `from jmeta.datasets import cache` name modules; other names do no harm.
            inside = base.split(".")[0] in ("jmeta", "scripts") and is_package(base)
            found |= {f"{base}.{alias.name}" for alias in node.names} if inside else {base}
    return found


def is_package(name: str) -> bool:
    return (ROOT.parent / name.replace(".", "/") / "__init__.py").is_file()


def forbidden(path: str, source: str) -> set[str]:
    """Imports of a module, named by its path below jmeta, that its place in the layout does not allow."""
    if f"jmeta/{path}".startswith(ANYTHING):
        return set()
    rule = max((prefix for prefix in ALLOWED if path.startswith(prefix)), key=len, default=None)
    allowed = ALLOWED[rule] if rule else set()
    package = ".".join(["jmeta", *Path(path).parent.parts])
    return {
        name
        for name in imports(ast.parse(source), package)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    }


def circle(sources: dict[str, str]) -> list[str]:
    """Modules, by dotted name, that import each other in a circle; none, or the first that is found."""

    def stands_on(name: str, source: str) -> set[str]:
        package = name if is_package(name) else name.rpartition(".")[0]
        named = imports(ast.parse(source), package)
        # `from jmeta.datasets import load` names a function of the package, whose own module it then stands on.
        return {n if n in sources else n.rpartition(".")[0] for n in named} & set(sources) - {name}

    try:
        tuple(TopologicalSorter({name: stands_on(name, text) for name, text in sources.items()}).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def sources_of(paths: list[str]) -> dict[str, str]:
    dotted = {path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path for path in paths}
    return {name: (ROOT.parent / path).read_text() for name, path in dotted.items()}


def test_no_modules_import_each_other_in_a_circle():
    paths = [f"jmeta/{path}" for path in MODULES] + SCRIPTS
    assert circle(sources_of([path for path in paths if path not in ANYTHING])) == []


def test_a_circle_is_found():
    assert circle({"a": "import b", "b": "def f():\n    from c import x", "c": "import a"}) != []
    assert circle({"a": "import b\nimport c", "b": "from c import x", "c": "import os"}) == []


def test_there_are_modules():
    assert {"types.py", "algorithms/maml.py", "nets/conv.py", "datasets/catalog.py"} <= set(MODULES)


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_one_way(path):
    assert forbidden(path, (ROOT / path).read_text()) == set()


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_stand_on_the_library_alone(path):
    """Beside it they may use the runner of studies, its trainings in pieces, and their own folder; nothing of tests."""
    assert strange_to_scripts(path, (ROOT.parent / path).read_text()) == set()


def strange_to_scripts(path: str, source: str) -> set[str]:
    """Imports of a script that its place does not allow."""
    folder = ".".join(Path(path).parent.parts)
    found = imports(ast.parse(source), folder)
    found = {name for name in found if name.split(".")[0] in ("tests", "benchmarks", "scripts")}
    own = ("scripts.study", "scripts.pieces", *([f"{folder}."] if folder != "scripts" else []))
    return {name for name in found if not any(name == a or (a[-1] == "." and name.startswith(a)) for a in own)}


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("scripts/mtl/new.py", "from scripts.study import run\nfrom scripts import study", set()),
        ("scripts/mtl/new.py", "from scripts.mtl.toy import rules\nfrom .toy import study", set()),
        ("scripts/mtl/new.py", "from scripts.rl.estimators import exact", {"scripts.rl.estimators"}),
        ("scripts/mtl/new.py", "import benchmarks.driver", {"benchmarks.driver"}),
        ("scripts/study.py", "from scripts.mtl import toy", {"scripts.mtl"}),
    ],
)
def test_wrong_imports_of_scripts_are_found(path, source, found):
    assert strange_to_scripts(path, source) == found


def test_no_area_knows_another_or_the_runs():
    for area in AREAS:
        others = {f"jmeta.{other}" for other in (*AREAS, "runs", "cli") if other != area}
        for path in (path for path in MODULES if path.startswith(f"{area}/")):
            found = imports(ast.parse((ROOT / path).read_text()), ".".join(["jmeta", *Path(path).parent.parts]))
            assert not {n for n in found for other in others if n == other or n.startswith(f"{other}.")}, path


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("algorithms/new.py", "from jmeta import nets", {"jmeta.nets"}),
        ("algorithms/new.py", "from jmeta.algorithms.maml import maml", {"jmeta.algorithms.maml"}),
        ("algorithms/new.py", "from .maml import maml", {"jmeta.algorithms.maml"}),
        ("algorithms/new.py", "def f():\n    import jmeta.training", {"jmeta.training"}),
        ("algorithms/new.py", "from jmeta.losses import cross_entropy\nimport jax.numpy", set()),
        ("types.py", "import numpy", {"numpy"}),
        ("loop.py", "from jmeta.types import Params", {"jmeta.types"}),
        ("datasets/new.py", "from jmeta.training import make_run", {"jmeta.training"}),
        ("datasets/new.py", "from jmeta.datasets import cache\nfrom ..episodes import rotate", {"jmeta.episodes"}),
        ("nets/new.py", "from jmeta import losses", {"jmeta.losses"}),
        ("unplaced.py", "import jax", {"jax"}),
        ("runs/engine/new.py", "from jmeta import nets, sharding", {"jmeta.nets"}),
        ("runs/engine/new.py", "from jmeta.runs.few_shot import settings", {"jmeta.runs.few_shot.settings"}),
        ("runs/few_shot/new.py", "from jmeta import rl\nfrom jmeta.runs import mtl", {"jmeta.rl", "jmeta.runs.mtl"}),
        ("rl/new.py", "from jmeta.runs.engine import train", {"jmeta.runs.engine.train"}),
        ("mtl/new.py", "from jmeta.algorithms import catalog, maml", {"jmeta.algorithms.maml"}),
        ("report/new.py", "from jmeta import settings", {"jmeta.settings"}),
        ("datasets/new.py", "from jmeta.report import files, figures", {"jmeta.report.figures"}),
    ],
)
def test_wrong_imports_are_found(path, source, found):
    assert forbidden(path, source) == found


def test_the_base_package_imports_without_its_extras():
    """Equinox, scikit-learn, matplotlib and TensorFlow Datasets are imported inside functions alone."""
    late = {"equinox", "sklearn", "matplotlib", "tensorflow_datasets", "tensorflow"}
    for path in MODULES:
        if path.startswith("mtl/estimators/"):  # which are for its users
            continue
        tree = ast.parse((ROOT / path).read_text())
        at_top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        assert not {name.split(".")[0] for name in imports(at_top, "jmeta")} & late, path


def test_every_name_that_is_exported_exists():
    for module in (jmeta, jmeta.nets, jmeta.algorithms, jmeta.mtl, jmeta.rl, bayes, generative, optimization):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        assert all(hasattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError, match="'jmeta' has no attribute 'mamml'"):
        jmeta.mamml  # noqa: B018


def test_what_is_a_function_and_a_module_is_the_function():
    """Catches names that are looked up when they are asked for: `jmeta.rl.rl2` would be whichever came first."""
    from jmeta.rl import experiment  # imports all three modules

    assert experiment.rl2 is jmeta.rl.rl2
    assert all(callable(getattr(jmeta.rl, name)) for name in ("rl2", "maml_rl", "rollout"))


def test_a_type_checker_sees_the_names_that_there_are():
    """`jmeta` imports nothing before it is asked: the imports that are for type checkers must not say otherwise."""
    at_top = ast.parse((ROOT / "__init__.py").read_text()).body
    for_types = [node for part in at_top if isinstance(part, ast.If) for node in part.body]
    seen = {alias.name for node in for_types if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(jmeta.__all__) and len(seen) < 75  # each area is one name


def test_help_and_version_wait_for_nothing():
    """JAX and its like take a second to import, which nobody who asks for help should wait for."""
    for word in ("--help", "--version"):
        code = f"import sys; from jmeta.cli import main; main(['{word}'])"
        code += "; print(sorted({*sys.modules} & {'jax', 'numpy', 'tyro'}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True)
        assert done.stdout.endswith("[]\n"), done.stderr


def dataclasses_in(path: Path) -> dict[str, int]:
    """The dataclasses of a file, with the number of their fields."""
    classes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))
    return {
        node.name: sum(isinstance(part, ast.AnnAssign) for part in node.body)
        for node in classes
        if any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)
    }


@pytest.mark.parametrize("path", [*(f"jmeta/{path}" for path in MODULES), *SCRIPTS])
def test_settings_are_small(path):
    """One record of everything would be passed to functions that read two of its fields."""
    found = dataclasses_in(ROOT.parent / path)
    assert not {name: number for name, number in found.items() if number > 14}


def test_no_two_test_files_have_the_same_name():
    """Pytest imports them by their names alone: of two that are alike, one is an error where both are collected."""
    names = [path.name for path in (ROOT.parent / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
