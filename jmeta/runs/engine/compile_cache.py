"""Compiled programs kept for the next start."""

import os
import warnings

import jax

from jmeta.datasets.cache import cache_dir


def use_compile_cache(wanted: bool = True) -> None:
    """Keep compiled programs in `$JMETA_CACHE` or the user's cache folder; not if `JMETA_COMPILE_CACHE` is 0."""
    if not wanted or os.environ.get("JMETA_COMPILE_CACHE", "1").lower() in ("0", "no", "off", "false"):
        return
    folder = cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    # A damaged entry, or no room for another, costs time alone.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
