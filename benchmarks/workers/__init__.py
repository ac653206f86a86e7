"""Processes that are timed, one for an implementation; each in the Python that has its libraries."""
