"""Collected errors of the rows of a file, which are raised together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qadapt.errors import InputError

SHOWN = 10  # maximum number of rows in a message


class RowErrors:
    """Rows that cannot be imported, by error; rows are numbered from 0."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self._totals: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, what: str, rows: Iterable[int]) -> None:
        """Add rows.

        Args:
            what: the error, such as ``NaN or infinity in column 'vector'``.
        """
        wrong = [int(row) for row in rows]
        if wrong:
            kept = self._rows.setdefault(what, [])
            kept += wrong[: SHOWN - len(kept)]
            self._totals[what] = self._totals.get(what, 0) + len(wrong)

    def refuse(self, path: Path) -> None:
        """Reject the file if it has errors.

        Raises:
            InputError: names the errors and the rows.
        """
        if not self._rows:
            return
        reported = [f"{what}: {self._named(what)}" for what in self._rows]
        raise InputError(
            f"{path} cannot be imported: {'; '.join(reported)}",
            hint="fix or remove these rows in the file (numbered from 0); nothing was written",
        )

    def _named(self, what: str) -> str:
        rows, total = self._rows[what], self._totals[what]
        more = f", ... ({total:,} in total)" if total > len(rows) else ""
        return f"{'row' if total == 1 else 'rows'} {', '.join(map(str, rows))}{more}"
