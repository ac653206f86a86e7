#!/usr/bin/env bash
# jmeta's speed beside the others', from nothing: both environments, all workloads, JSON and tables.
# Arguments go to `python -m benchmarks`; --quick looks whether all of it works, --help explains the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh plots

exec python -m benchmarks "$@"
