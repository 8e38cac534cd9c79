"""Runs on disk and questions to many of them."""

from fau_utils.results.run import DamagedRun, Run
from fau_utils.results.store import finished, query, runs

__all__ = ["DamagedRun", "Run", "finished", "query", "runs"]
