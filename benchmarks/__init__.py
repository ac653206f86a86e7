"""jmeta's outer step beside what one would use in its place: `bash benchmarks/run.sh`, or `python -m benchmarks`."""
