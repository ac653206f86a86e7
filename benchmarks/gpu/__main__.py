"""The GPU kit: everything that is to be measured on a GPU, in parts, each kept as soon as it is there.

OUT gets gpu.json, with what each part measured, and summary.md, its tables. The same command goes on: parts that are
done are skipped, those that were stopped go on, those that failed are tried again. What is missing beside JAX is
installed from a folder of wheels, with nothing that is there replaced; nothing is fetched from a network.

    bash scripts/gpu.sh OUT                        # all parts, unattended
    bash scripts/gpu.sh OUT --minutes 9            # as many as fit into nine minutes; then what is left is said
    bash scripts/gpu.sh OUT --list                 # the parts, how long they take, and how far they are
    bash scripts/gpu.sh OUT --only rates memory    # two of them
    bash scripts/gpu.sh OUT --scale 0.0002         # all lengths as short: whether it works, also on a CPU
"""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import records, runner, summary, wheels
from benchmarks.gpu.launch import ROOT, environment, launcher
from benchmarks.gpu.machine import machine, too_old
from benchmarks.gpu.protocol import DONE
from benchmarks.gpu.records import FILE, Records
from benchmarks.gpu.table import PARTS, Part, chosen


def parser() -> argparse.ArgumentParser:
    """The words of the command line."""
    about = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser("scripts/gpu.sh", description=__doc__, formatter_class=about)
    made.add_argument("out", metavar="OUT", type=Path, help="folder of gpu.json and summary.md, and of nothing else")
    made.add_argument("--minutes", type=float, help="begin no part that does not fit, and stop by then")
    made.add_argument("--only", nargs="+", default=[], metavar="PART", help="these parts")
    made.add_argument("--list", action="store_true", help="show the parts, and run none")
    made.add_argument("--scale", type=float, default=1.0, help="of all lengths: 0.01 is a hundredth (default: 1)")
    made.add_argument(
        "--work", type=Path, default=Path("runs/gpu"),
        help="folder for checkpoints, compiled programs and logs; what stopped goes on from there (default: runs/gpu)",
    )  # fmt: skip
    made.add_argument("--earlier", type=Path, nargs="+", default=[], help="gpu.json of earlier calls, if OUT is new")
    made.add_argument("--wheels", type=Path, help="folder of wheels (default: $JMETA_WHEELS, or wheels)")
    made.add_argument("--data-dir", type=Path, help="of data sets (default: $JMETA_DATA, or .carry/data)")
    return made


def main(words: Sequence[str]) -> int:
    """Run what fits; 0 also where a part failed, which its record says, and 2 for what the user can put right."""
    began, asked = time.monotonic(), parser().parse_args(words)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not 0 < asked.scale <= 1:
            raise ValueError(f"--scale must be above 0 and at most 1, got {asked.scale}: 0.01 is a hundredth")
        if asked.minutes is not None and asked.minutes <= 0:
            raise ValueError(f"--minutes must be above 0, got {asked.minutes}: 9 fits into ten minutes")
        if asked.list:
            print(listed(chosen(asked.only), stored(asked)), flush=True)
            return 0
        return _run(asked, chosen(asked.only), began, words)
    except ValueError as error:
        print(f"gpu: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpu: stopped; what was measured is kept, and the same command goes on.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(asked: argparse.Namespace, parts: list[Part], began: float, words: Sequence[str]) -> int:
    """Wheels, the machine, and the parts that fit."""
    wheels.install(asked.wheels or Path(os.environ.get("JMETA_WHEELS") or ROOT / "wheels"), say)
    data_dir = folder_of_data(asked.data_dir)
    asked.work.mkdir(parents=True, exist_ok=True)
    here = machine(environment(asked.work, data_dir))
    if here["platform"] == "cpu" and "gpu" in here and os.environ.get("JAX_PLATFORMS") != "cpu":
        raise ValueError(
            f"there is a {here['gpu']}, and JAX computes on the CPU: install JAX for its driver "
            f"{here['driver']}, as by jax[cuda13], or set JAX_PLATFORMS=cpu if that is what you want"
        )
    here["notes"] = notes(here, data_dir)
    for note in here["notes"]:
        say(note)
    where = {"platform": here["platform"], "scale": asked.scale}
    before = records.read([asked.out / FILE, asked.work / FILE, *asked.earlier], **where)

    def keep(found: Records) -> None:
        text = summary.markdown(here, asked.scale, found)
        records.write((asked.out, asked.work), here, asked.scale, found, text)

    variables = environment(asked.work, data_dir, cuda=here["platform"] == "gpu" and "driver" in here)
    launch = launcher(work=asked.work, scale=asked.scale, data_dir=data_dir, machine=here, variables=variables)
    keep(before)
    found = runner.run(
        parts, before, minutes=asked.minutes, launch=launch, keep=keep, say=say, now=time.monotonic, began=began
    )
    left = [part for part in parts if found.get(part.name, {}).get("state") != DONE]
    for part in left:
        print(f"left: {part.name}, {runner.state_of(found.get(part.name))}")
    again = shlex.join(["bash", "scripts/gpu.sh", *words])
    print(f"go on by: {again}" if left else "all parts are done")
    print(f"kept in {asked.out}: {FILE} and {records.SUMMARY}", flush=True)
    return 0


def folder_of_data(given: Path | None) -> str | None:
    """The folder of data sets: named, `$JMETA_DATA`, or what was carried along."""
    if given is not None or os.environ.get("JMETA_DATA"):
        return str((given or Path(os.environ["JMETA_DATA"])).expanduser().resolve())
    carried = ROOT / ".carry" / "data"
    return str(carried) if carried.is_dir() else None


def notes(here: dict[str, Any], data_dir: str | None) -> list[str]:
    """What whoever reads the figures has to know."""
    found = too_old()
    if here["platform"] == "cpu":
        found.append("JAX computes on a CPU here: these are no figures of a GPU")
    if data_dir is None:
        found.append("there is no folder of data sets: episodes are of glyphs, and what needs pictures is left out")
    return found


def stored(asked: argparse.Namespace) -> Records:
    """What is known without a look at the machine."""
    files = [path for path in (asked.out / FILE, asked.work / FILE, *asked.earlier) if path.exists()]
    return records.merged(records.load(path)["parts"] for path in files)


def listed(parts: Sequence[Part], found: Records) -> str:
    """The parts, a line each."""
    lines = [
        f"{part.name:16} {part.minutes:4g} min  {runner.state_of(found.get(part.name)):12}  {part.what}"
        for part in parts
    ]
    left = sum(part.minutes for part in parts if found.get(part.name, {}).get("state") != DONE)
    return "\n".join([*lines, f"{len(PARTS)} parts in all; about {left:g} minutes of a GPU are left"])


def say(text: str) -> None:
    """What goes on, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
