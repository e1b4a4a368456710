"""Explain generated images into a folder: `python tests/job_script.py OUT COUNT`, to be killed."""

import sys

import lrpkeras

SETTINGS = {"batch_size": 3, "shard_size": 8, "verbose": 0}


def explain(out: str, count: int) -> lrpkeras.jobs.Results:
    images = lrpkeras.datasets.shapes(count, seed=0).images
    analyzer = lrpkeras.Analyzer(lrpkeras.datasets.shapes_model())
    return analyzer.explain_dataset(images, out, **SETTINGS)


if __name__ == "__main__":
    explain(sys.argv[1], int(sys.argv[2]))
