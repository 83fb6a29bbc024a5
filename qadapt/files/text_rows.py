"""Rows with texts from JSON Lines, CSV and Parquet files, one at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qadapt.errors import InputError, SpecError, StorageError
from qadapt.files.parquet_writer import pyarrow

TYPES = (".jsonl", ".ndjson", ".parquet", ".csv")
# Rows of a Parquet file that are converted at once.
PAGE = 1_000


class TextFile:
    """A file of rows; iterating it several times reads it again.

    Attributes:
        total: number of rows; None if only reading the file would tell.
        typed: whether the file distinguishes integers from texts; CSV does not.

    Raises:
        SpecError: an unknown file type.
        InputError: the file does not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix not in TYPES:
            raise SpecError.unknown("file type", self.path.suffix or str(self.path), TYPES)
        if not self.path.is_file():
            raise InputError(
                f"the file {str(path)!r} does not exist", hint="check the name and the folder"
            )
        self.typed = self.path.suffix != ".csv"
        self.total = self._parquet().metadata.num_rows if self.path.suffix == ".parquet" else None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        read = {".parquet": self._rows_of_parquet, ".csv": self._rows_of_csv}
        try:
            yield from read.get(self.path.suffix, self._rows_of_json)()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} is not UTF-8: {error}", hint="convert it, for example with iconv"
            ) from error
        except OSError as error:
            raise StorageError.of(error, f"{self.path} cannot be read") from error

    def _rows_of_json(self) -> Iterator[Mapping[str, Any]]:
        with self.path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise InputError(
                        f"line {number} of {self.path} is not JSON: {error}",
                        hint="each line must be a JSON object",
                    ) from error
                if not isinstance(row, dict):
                    raise InputError(
                        f"line {number} of {self.path} is a {type(row).__name__}, not an object",
                        hint='each line must be a JSON object, such as {"text": "..."}',
                    )
                yield row

    def _rows_of_csv(self) -> Iterator[Mapping[str, Any]]:
        with self.path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            try:
                for row in reader:
                    if None in row or None in row.values():
                        raise InputError(
                            f"line {reader.line_num} of {self.path} has another number of fields "
                            "than the header",
                            hint="quote fields that contain commas",
                        )
                    yield row
            except csv.Error as error:
                raise InputError(
                    f"line {reader.line_num} of {self.path} is not CSV: {error}",
                    hint="the file needs a header and commas as separators",
                ) from error

    def _rows_of_parquet(self) -> Iterator[Mapping[str, Any]]:
        for batch in self._parquet().iter_batches(PAGE):
            yield from batch.to_pylist()

    def _parquet(self) -> Any:
        arrow = pyarrow()
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(self.path)
        except arrow.ArrowInvalid as error:
            raise InputError(
                f"{self.path} is not a Parquet file: {error}", hint="check the file"
            ) from error
