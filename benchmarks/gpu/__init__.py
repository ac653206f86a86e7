"""All that is to be measured on a GPU, in parts that each fit into a few minutes: `bash scripts/gpu.sh OUT`."""
