"""Keeps doctest collection from importing the scripts that need other libraries."""

collect_ignore = [
    "innvestigate_names.py",
    "innvestigate_reference.py",
    "zennit_conventions.py",
    "zennit_nets.py",
    "zennit_presets.py",
    "zennit_reference.py",
]
