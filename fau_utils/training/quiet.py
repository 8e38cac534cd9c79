"""Fabric without its announcements."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKING = ("lightning", "lightning.fabric", "lightning.fabric.utilities", "lightning.pytorch.utilities.rank_zero")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Fabric tells what it found of processes and devices; the history says all that matters."""
    loggers = [logging.getLogger(name) for name in _TALKING]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
