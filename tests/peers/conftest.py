"""Keeps doctest collection from importing the scripts that need torch and zennit."""

collect_ignore = ["zennit_reference.py", "zennit_conventions.py"]
