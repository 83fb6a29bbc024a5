"""The journal of a migration: scan ranges, and the last row of each that the target acknowledged.

There is one journal file for each pair of collections, in the state folder. The entry of a range is
updated only after the target acknowledged a batch. After a crash, the last batch of each worker is
written again, to the same ids.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qadapt.errors import IntegrityError
from qadapt.local.journal_file import VALUE, JournalFile
from qadapt.local.state import collection_key, state_dir
from qadapt.model import Id
from qadapt.model.address import Address
from qadapt.model.document_version import UPGRADE
from qadapt.stores.base import ScanRange

# Format 1 had a table for each kind of record.
FORMAT = 2
# Kinds of records.
_RANGE, _SKIPPED = "scan range", "skipped row"


@dataclass(frozen=True)
class RangeProgress:
    """The progress of one scan range.

    Attributes:
        number: position in the journal.
        scan_range: as the store returned it.
        after: the last id that the target acknowledged; None for none yet.
        rows, bytes: acknowledged so far.
        done: whether the range was read to its end.
    """

    number: int
    scan_range: ScanRange
    after: Id | None = None
    rows: int = 0
    bytes: int = 0
    done: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types, without the number."""
        return {name: value for name, value in vars(self).items() if name != "number"}


def folder_of(source: tuple[Address, str], target: tuple[Address, str]) -> Path:
    """The folder of the journal of a pair of collections."""
    text = collection_key(*source) + collection_key(*target)
    return state_dir() / "migrations" / hashlib.sha256(text.encode()).hexdigest()[:24]


class Journal:
    """An open journal; threads may share it.

    All methods raise ``IntegrityError`` if the file is damaged, ``StorageError`` if it cannot be
    read or written, and ``BusyError`` if another process holds its lock for too long.

    Args:
        folder: folder of the file; created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = JournalFile(folder, FORMAT, self.damaged, create=True, wal=True)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def damaged(self, problem: str, newer: bool = False) -> IntegrityError:
        """The error for a journal that is damaged or was written by a newer qadapt."""
        if newer:
            return IntegrityError(
                f"the journal of the migration in {self.folder} was {problem}", hint=UPGRADE
            )
        return IntegrityError(
            f"the journal of the migration in {self.folder} cannot be read: {problem}",
            hint="to copy from the beginning, drop the target and delete the journal's folder: "
            f"rm -r {shlex.quote(str(self.folder))}",
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def get(self, key: str, default: Any = None) -> Any:
        """A stored value."""
        return self._file.get(VALUE, key, default)

    def put(self, **values: Any) -> None:
        """Store values in one transaction."""
        self._file.put(VALUE, values)

    def begin(self, scan_ranges: Sequence[ScanRange], **values: Any) -> None:
        """Begin a migration, and delete the entries of an earlier one."""
        ranges = [RangeProgress(at, dict(each)) for at, each in enumerate(scan_ranges)]
        with self._file.changing():
            self._file.clear()
            self._file.append(_RANGE, *(each.to_dict() for each in ranges))
            self._file.put(VALUE, values)

    def ranges(self) -> list[RangeProgress]:
        """The progress of all scan ranges."""
        found = self._file.items(_RANGE)
        return [self._range_progress(number, each) for number, each in enumerate(found)]

    def range_progress(self, number: int) -> RangeProgress:
        """The progress of one scan range."""
        return self._range_progress(number, self._file.get(_RANGE, str(number)))

    def _range_progress(self, number: int, record: Any) -> RangeProgress:
        try:
            found = RangeProgress(number, **record)
        except TypeError as error:
            raise self.damaged(f"scan range {number} is {record!r:.60}") from error
        numbers = found.rows, found.bytes
        if (
            type(found.scan_range) is not dict
            or type(found.after) not in (int, str, type(None))
            or any(type(each) is not int or each < 0 for each in numbers)
            or type(found.done) is not bool
        ):
            raise self.damaged(f"scan range {number} is {record!r:.200}")
        return found

    def rows(self) -> int:
        """Rows that the target acknowledged."""
        return sum(each.rows for each in self.ranges())

    def all_done(self) -> bool:
        """Whether all scan ranges were read to their ends."""
        return all(each.done for each in self.ranges())

    def acknowledge(
        self,
        number: int,
        after: Id,
        rows: int,
        size: int,
        skipped: Mapping[Id, str] | None = None,
        partition: str | None = None,
    ) -> None:
        """Record that a batch is written: the range continues behind ``after``.

        Args:
            skipped: the reason for each row that was not written, by source id.
            partition: the partition that these ids are unique in.
        """
        reasons = {json.dumps([partition, key]): why for key, why in (skipped or {}).items()}
        with self._file.changing():
            now = self.range_progress(number)
            self._write(replace(now, after=after, rows=now.rows + rows, bytes=now.bytes + size))
            self._file.put(_SKIPPED, reasons)

    def finish(self, number: int) -> None:
        """Record that all rows of a scan range are written."""
        with self._file.changing():
            self._write(replace(self.range_progress(number), done=True))

    def _write(self, progress: RangeProgress) -> None:
        self._file.put(_RANGE, {str(progress.number): progress.to_dict()})

    def skipped(self) -> dict[tuple[str | None, Id], str]:
        """The reason for each row that was not written, by partition (or None) and id."""
        found: dict[tuple[str | None, Id], str] = {}
        for text, reason in self._file.all(_SKIPPED).items():
            try:
                partition, key = json.loads(text)
                found[partition, key] = str(reason)
            except (ValueError, TypeError, RecursionError) as error:
                raise self.damaged(f"the id of a skipped row is {text!r:.60}") from error
        return found
