"""The papers' experiments, run again: one script each, `python -m experiments.NAME --help`."""
