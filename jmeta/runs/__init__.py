"""Runs kept in folders."""
