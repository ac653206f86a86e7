"""Programs behind the tables of the documentation: `python -m scripts.AREA.NAME --help`, in a checkout."""
