"""A part in its process: `python -m benchmarks.gpu.part REQUEST ANSWER`, two JSON files; or `--device`."""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.gpu.protocol import DONE, FAILED, LEFT_OUT, UNFINISHED, Ask, LeftOut
from benchmarks.gpu.table import PARTS
from jmeta.report.files import write_json


def answer(request: dict[str, Any], write: Any) -> None:
    """Do what is asked, and write down the answer, at first whatever there is when the process is ended early."""
    part, before = PARTS[request["part"]], request["before"]

    def keep(value: dict[str, Any]) -> None:
        kept.update(value)
        write({"state": UNFINISHED, "value": kept, "left": "it was ended before it was through"})

    kept = dict(before)
    ask = Ask(
        request["platform"], request["scale"], time.monotonic() + request["seconds"], Path(request["work"]),
        request["data_dir"], request["found"], before, keep,
    )  # fmt: skip
    try:
        module, _, function = part.run.partition(":")
        run = getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)
        outcome = run(ask, **part.options)
    except LeftOut as error:
        write({"state": LEFT_OUT, "value": kept, "error": str(error)})
    except Exception as error:
        traceback.print_exc()
        said = next(iter(str(error).strip().splitlines()), "") or "no message"
        write({"state": FAILED, "value": kept, "error": f"{type(error).__name__}: {said[:500]}"})
    else:
        state = UNFINISHED if outcome.left else DONE
        write({"state": state, "value": outcome.value, **({"left": outcome.left} if outcome.left else {})})


def device() -> dict[str, Any]:
    """What JAX computes on."""
    import jax

    found = jax.devices()[0]
    return {"platform": found.platform, "device": found.device_kind, "devices": len(jax.devices())}


def main(words: list[str]) -> int:
    """Answer a request, or print the device."""
    if words == ["--device"]:
        print(json.dumps(device()))
        return 0
    asked, told = map(Path, words)
    answer(json.loads(asked.read_text()), lambda values: write_json(told, values))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
