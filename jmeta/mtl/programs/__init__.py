"""The programs behind `jmeta mtl`: each a `Config` and a `main(config)`."""
