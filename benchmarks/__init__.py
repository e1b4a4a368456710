"""What explanations cost, measured: `make bench`, or `python -m benchmarks.run --help`.

Results are in `RESULTS.md`, which `report.py` writes from `results.json`.
"""
