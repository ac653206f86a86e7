#!/usr/bin/env bash
# From nothing to a trained meta-learner: environment, MAML on glyphs, its accuracy on unseen classes, pictures.
# About four minutes on two cores, most of it training.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh plots

run=${1:-runs/quickstart}
jmeta train --preset quickstart --run-dir "$run" $([ -d "$run" ] && echo --resume)
jmeta evaluate --run-dir "$run"
jmeta plot --run-dir "$run"
