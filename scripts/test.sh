#!/usr/bin/env bash
# Everything a change has to pass: environment, lint, format, types, tests, in a quarter of an hour on two cores.
# Arguments go to pytest. `--all` adds the tests of the mark `long`: long learning thresholds, pairings of parts that are
# tested in others too, and soaks.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh dev

echo "Lint";   ruff check .
echo "Format"; ruff format --check .
echo "Types";  pyright --pythonpath "$(command -v python)"
echo "Tests"
if [ -z "${JMETA_DATA:-}" ]; then
    echo "JMETA_DATA is not set: the tests on real data will be skipped (the README says how to get it)."
fi
# One process runs each file, so that what one of its tests compiles is there for the others.
exec python -m pytest -n "${JMETA_TEST_PROCESSES:-2}" --dist loadfile "$@"
