"""Runs kept in folders: what the command line does, as functions."""
