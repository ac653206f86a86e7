"""Strict promotion rules for every test, four emulated devices, and the folder of real data.

Some of Optax's rules multiply integers and floats, Adam and the schedules among them. Tests wrap such a rule in
`algorithms_table.relaxed`, or carry the mark `standard_promotion` where they can't; tests of whole programs, in
`runs/`, `scripts/` and `test_cli*.py`, are as if they had it.
"""

import atexit
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REAL_DATA = os.environ.get("JMETA_DATA")  # tests of the command line set it to an empty folder
# Tests compile thousands of small programs and run each a few times: with all of XLA's optimizations, most of the time
# would be its compiler's. They go without any but for the mark `optimized`, and the processes that they start have a
# few. What XLA_FLAGS already sets stays, so that with JAX_DISABLE_MOST_OPTIMIZATIONS=0 all run on optimized programs.
XLA_OPTIONS = {
    "xla_force_host_platform_device_count": "4",
    "xla_backend_optimization_level": "1",
    # The emitters of fused loops take half of the time to compile; older XLA has the first flag, newer the second.
    "xla_cpu_use_fusion_emitters": "false",
    "xla_backend_extra_options": "xla_cpu_disable_new_fusion_emitters",
}
# Nearly half of the programs are compiled a second time by another test: JAX keeps them, in a folder of this run of the
# tests alone unless JAX_COMPILATION_CACHE_DIR names one that lasts.
PROGRAMS_KEPT = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # a tenth of the time to lower a program
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def known_flags(flags: list[str], already: str) -> list[str]:
    """Those that this version of XLA knows: an unknown one ends the process, so that another process asks."""
    environment = os.environ | {"XLA_FLAGS": " ".join([already, *flags])}
    asked = subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=environment, capture_output=True)
    if asked.returncode == 0:
        return flags
    known = [flag for flag in flags if flag.encode() not in asked.stderr]
    if known == flags:
        raise RuntimeError(f"JAX does not start with the flags of the tests:\n{asked.stderr.decode()[-2000:]}")
    return known


if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has the flags of the process that started it
    flags = os.environ.get("XLA_FLAGS", "")
    new = [f"--{name}={value}" for name, value in XLA_OPTIONS.items() if name not in flags]
    os.environ["XLA_FLAGS"] = " ".join([flags, *known_flags(new, flags)]).strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ |= PROGRAMS_KEPT | {"JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(prefix="jmeta-tests-")}
        atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

from jmeta.cli import RARE  # noqa: E402

gc.set_threshold(*RARE)  # as the command line has it

# Compiling makes the first example slow; the same examples every time make a failure reproducible.
hypothesis.settings.register_profile("jmeta", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("jmeta")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all` runs the long tests too."""
    parser.addoption("--all", action="store_true", dest="all_tests", help="also run the tests of the mark `long`")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.addinivalue_line("markers", "standard_promotion: integers and floats may mix in this test")
    config.addinivalue_line("markers", "long: more of what a quicker test guards too; run with `--all` alone")
    config.addinivalue_line("markers", "optimized: runs for longer than it compiles, or is wrong otherwise")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests, unless all are asked for."""
    if not config.getoption("all_tests"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(autouse=True)
def strict_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Numbers of different dtypes or ranks don't mix by accident."""
    parts = request.path.relative_to(Path(__file__).parent).parts
    whole_programs = parts[0] in ("runs", "scripts") or parts[-1].startswith("test_cli")
    standard = whole_programs or request.node.get_closest_marker("standard_promotion")
    mode = "standard" if standard else "strict"
    with jax.numpy_dtype_promotion(mode), jax.numpy_rank_promotion("raise"):
        yield


@contextmanager
def quickly_compiled(wanted: bool) -> Iterator[None]:
    """Leave out optimizations inside."""
    before = jax.config.read("jax_disable_most_optimizations")
    if "JAX_DISABLE_MOST_OPTIMIZATIONS" not in os.environ:
        jax.config.update("jax_disable_most_optimizations", wanted)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session", autouse=True)
def quick_session() -> Iterator[None]:
    """For what tests share, and for all tests but those below."""
    with quickly_compiled(True):
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_module(request: pytest.FixtureRequest, quick_session: None) -> Iterator[None]:
    """Not for what the tests of a module share that is marked so."""
    marks = getattr(request.module, "pytestmark", [])
    with quickly_compiled("optimized" not in {mark.name for mark in (marks if isinstance(marks, list) else [marks])}):
        yield


@pytest.fixture(autouse=True)
def quick_compiling(request: pytest.FixtureRequest) -> Iterator[None]:
    """Not for tests that are marked so, and not for what they make."""
    with quickly_compiled(request.node.get_closest_marker("optimized") is None):
        yield


MOST_MAPS = 25_000
"""Of the 65,530 memory maps that Linux gives a process. Compiled programs take some each, and beyond all it crashes."""


@pytest.fixture(scope="module", autouse=True)
def not_too_many_programs() -> Iterator[None]:
    """Let go of what was compiled once it fills much of the memory maps that a process may have."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data that `JMETA_DATA` names."""
    root = REAL_DATA
    if not root:
        pytest.skip("needs real data: set JMETA_DATA to the folder that has it")
    if not Path(root).is_dir():
        pytest.skip(f"needs real data: JMETA_DATA is {root}, which is not a folder")
    return Path(root)
