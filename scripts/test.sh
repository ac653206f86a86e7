#!/usr/bin/env bash
# Everything a change has to pass: environment, lint, format, types, tests. Arguments go to pytest.
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
exec python -m pytest -n "${JMETA_TEST_PROCESSES:-2}" --dist loadgroup "$@"
