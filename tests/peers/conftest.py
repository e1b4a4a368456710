"""Keeps doctest collection from importing the scripts that need torch and zennit."""

collect_ignore = [
    "zennit_conventions.py",
    "zennit_nets.py",
    "zennit_presets.py",
    "zennit_reference.py",
]
