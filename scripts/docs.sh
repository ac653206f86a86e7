#!/usr/bin/env bash
# The documentation site from nothing, with its notebooks executed: docs/_build/html/index.html. Warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh docs

python -m scripts.publish --check
sphinx-build -W --keep-going -q -b html docs docs/_build/html "$@"
echo "open docs/_build/html/index.html"
