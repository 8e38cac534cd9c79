"""Rows on the disk while they are made, so that a run that was killed goes on where it was."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


class OtherWork(ValueError):
    """What lies there was begun with other settings."""


class Work:
    """Parts of a table and, with each, where to go on.

    A part counts when its state is there, which is written last and in one step.

    Parameters
    ----------
    folder : path
        Made when missing, removed by :meth:`remove`.
    settings : mapping
        Plain data that decides the rows.
    resume : bool
        Go on with what is there; False begins again.

    Raises
    ------
    OtherWork
        There is work with other settings, and it is to be gone on with.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool = True):
        self.folder = folder
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        known = folder / "settings"
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        if known.is_file() and known.read_text() != digest:
            raise OtherWork(
                f"{folder}: holds the beginning of another run (other inputs, model, detector or step); "
                "--no-resume throws it away, or choose another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(digest)

    def __len__(self) -> int:
        count = 0
        while self._state(count).is_file():
            count += 1
        return count

    def state(self) -> dict[str, Any] | None:
        """Where the last complete part ended; None at the beginning."""
        count = len(self)
        return json.loads(self._state(count - 1).read_text()) if count else None

    def add(self, rows: pd.DataFrame, state: Mapping[str, Any]) -> None:
        """Keep a part, complete or not at all."""
        count = len(self)
        rows.to_parquet(self._rows(count), index=False)
        partial = self._state(count).with_suffix(".part")
        partial.write_text(json.dumps(state))
        partial.replace(self._state(count))

    def parts(self) -> Iterator[pd.DataFrame]:
        """The parts in order; one is in memory."""
        for count in range(len(self)):
            yield pd.read_parquet(self._rows(count))

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _rows(self, count: int) -> Path:
        return self.folder / f"{count:06d}.parquet"

    def _state(self, count: int) -> Path:
        return self.folder / f"{count:06d}.json"
