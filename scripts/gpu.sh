#!/usr/bin/env bash
# Everything that is to be measured on a GPU, unattended, by the Python that has JAX: bash scripts/gpu.sh OUT
# What it lacks beside JAX is taken from a folder of wheels. --help says how all of it is cut into short calls.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${JMETA_PYTHON:-}
for candidate in python3 python python3.12; do
    [ -n "$python" ] && break
    if "$candidate" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("jax"))' 2>/dev/null; then
        python=$candidate
    fi
done
exec "${python:-python3}" -m benchmarks.gpu "$@"
