"""Learned optimization: rules with parameters, estimates of their meta-gradient, and the problems they learn from."""
