"""Whole data sets, explained into shards on disk that an interrupted job goes on from."""

from lrpkeras.jobs.local import Explains, Request, explain_dataset
from lrpkeras.jobs.results import LazyArray, Results, open_results
from lrpkeras.jobs.samples import Checked, FileSamples

__all__ = [
    "Checked",
    "Explains",
    "FileSamples",
    "LazyArray",
    "Request",
    "Results",
    "explain_dataset",
    "open_results",
]
