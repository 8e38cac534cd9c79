"""Reference results: tables that took longer than a chapter may, kept in the repository with where they come from.

One parquet file per table in ``book/reference_results/``. Its metadata hold the provenance, so that table and origin
cannot be separated. A table is *stale* when the code that made it is no longer the code that is here.
"""

import datetime
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fau_utils import provenance

FOLDER = Path(__file__).resolve().parents[2] / "book" / "reference_results"
"""Where the repository keeps them."""

KEY = b"fau_reference"


@dataclass(frozen=True)
class Reference:
    """A table with its origin.

    Attributes
    ----------
    name : str
    table : DataFrame
    record : dict
        ``command, code, code_hash, device, versions, git_revision, made`` and whatever the maker added.
    """

    name: str
    table: pd.DataFrame
    record: dict[str, Any] = field(repr=False)

    @property
    def stale(self) -> bool:
        """Whether the code that made the table has changed since."""
        try:
            return provenance.code_hash(self.record["code"]) != self.record["code_hash"]
        except ValueError:  # a module is gone
            return True

    @property
    def origin(self) -> str:
        """A sentence for a caption."""
        said = f"Made on {self.record['made'][:10]} with `{self.record['command']}` on {spoken(self.record['device'])}."
        if self.stale:
            return said + " **The code has changed since.**"
        if again := self.record.get("repeated"):
            runs = f"{again['runs']} of {again['of']} runs"
            said += f" The code has changed since; {runs} made again on {again['made'][:10]} gave the same numbers."
        return said


def spoken(device: str) -> str:
    """The words of :func:`fau_utils.provenance.device_name`, which is in the hash of every table, for a reader."""
    return device.replace(", 1 threads", ", 1 thread")


def write(
    name: str,
    table: pd.DataFrame,
    *,
    command: str,
    code: Iterable[str],
    device: str,
    extra: Mapping[str, Any] | None = None,
    folder: str | os.PathLike = FOLDER,
) -> Path:
    """Keep a table as the reference result of that name; one that is there is replaced, at once or not at all.

    Parameters
    ----------
    name : str
        Name of the file without ``.parquet``.
    table : DataFrame
    command : str
        What a reader types to make it again.
    code : iterable of str
        Modules of this package that decide the numbers.
    device : str
        The machine in words, see :func:`fau_utils.provenance.device_name`.
    extra : mapping, optional
        Plain data to keep in the record.
    folder : path-like

    Raises
    ------
    ValueError
        An empty table, or a module that does not exist.
    """
    if not len(table):
        raise ValueError(f"expected results for {name}, found an empty table")
    code = sorted(code)
    record = {
        "command": command,
        "code": code,
        "code_hash": provenance.code_hash(code),
        "device": device,
        "versions": provenance.versions(),
        "git_revision": provenance.git_revision(),
        "made": _now(),
        **(extra or {}),
    }
    return _replace(name, table, record, Path(folder))


def confirm(found: Reference, *, runs: int, of: int, folder: str | os.PathLike = FOLDER) -> Path:
    """Keep a table as it is and say that the present code makes it, too, as far as that was tried.

    Parameters
    ----------
    found : Reference
    runs, of : int
        How many of its runs were repeated and gave the same numbers, and how many it has.
    folder : path-like
    """
    again = {
        "runs": runs,
        "of": of,
        "first_hash": found.record.get("repeated", found.record).get("first_hash", found.record["code_hash"]),
        "git_revision": provenance.git_revision(),
        "made": _now(),
    }
    record = found.record | {"code_hash": provenance.code_hash(found.record["code"]), "repeated": again}
    return _replace(found.name, found.table, record, Path(folder))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _replace(name: str, table: pd.DataFrame, record: Mapping[str, Any], folder: Path) -> Path:
    contents = _narrowed(pa.Table.from_pandas(table, preserve_index=False))
    contents = contents.replace_schema_metadata({**(contents.schema.metadata or {}), KEY: json.dumps(record)})
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    os.close(handle)
    try:
        pq.write_table(contents, temporary, compression="zstd")
        os.chmod(temporary, 0o644)  # mkstemp lets only its owner read
        os.replace(temporary, folder / f"{name}.parquet")
    finally:
        Path(temporary).unlink(missing_ok=True)
    return folder / f"{name}.parquet"


def _narrowed(contents: pa.Table) -> pa.Table:
    """Lists of numbers in single precision, where that loses nothing: draws are most of a table."""
    for place, column in enumerate(contents.schema):
        if column.type != pa.list_(pa.float64()):
            continue
        narrow = contents.column(place).cast(pa.list_(pa.float32()))
        if narrow.cast(column.type).equals(contents.column(place)):
            contents = contents.set_column(place, column.with_type(narrow.type), narrow)
    return contents


def read(name: str, *, folder: str | os.PathLike = FOLDER) -> Reference:
    """The reference result of that name.

    Raises
    ------
    FileNotFoundError
        None of that name; those that exist are listed.
    ValueError
        A file without provenance, or one that is damaged.
    """
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        names = sorted(p.stem for p in Path(folder).glob("*.parquet"))
        raise FileNotFoundError(
            f"expected a reference result {name!r}, found {names or 'none'} in {Path(folder).name}/"
        )
    try:
        contents = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path.name} is damaged ({error}); take it from the repository again") from error
    kept = (contents.schema.metadata or {}).get(KEY)
    if kept is None:
        raise ValueError(f"{path.name} says nothing of its origin; write it with fau_utils.results.reference.write")
    return Reference(name=name, table=contents.to_pandas(), record=json.loads(kept))
