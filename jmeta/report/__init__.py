"""How numbers are shown: means with intervals, figures."""
