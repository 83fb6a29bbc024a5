"""Every error that qadapt raises on purpose.

    QadaptError
    ├── InputError (ValueError)        the caller's data or words are wrong           exit 2
    │   ├── SpecError                  quantization string, spec file, option, filter
    │   │   └── AddressError           a store's address
    │   ├── NonFiniteError             NaN or infinity, with the row numbers
    │   ├── ZeroVectorError            a zero vector under cosine, with the row numbers
    │   ├── DimensionError             wrong number of dimensions
    │   └── CalibrationError           int8/uint8 codes without (usable) ranges
    ├── NotFoundError (LookupError)    a collection, vector, id or change that is not there
    ├── AlreadyExistsError             a collection of that name is there already
    ├── UnsupportedError               the store cannot do it, and what would
    │   └── TooFewRowsError            the engine builds these codes with more rows only
    ├── MissingExtraError              a client package is not installed: names the extra
    ├── IntegrityError                 a torn, foreign or damaged file or folder
    ├── StorageError                   a file or folder of this machine cannot be used
    ├── StoreError                     the store refused or failed; asking again will not help
    │   ├── AuthError                  key missing, wrong or without the right
    │   └── TransientError             worth retrying: the only class that is retried
    │       ├── UnreachableError       the server does not answer, or went away
    │       ├── BusyError              locked, rate limited, or still at an earlier change
    │       └── StoreTimeoutError      the time limit passed
    └── PlanError                      planning or applying a change
        ├── PlanStale                  the collection changed since the plan was made  exit 4
        ├── ConsentRequired            a step needs `yes=True` or `--yes`              exit 4
        ├── GuardMissed                recall fell under the guard; the change is undone  exit 3
        └── ApplyError                 a step failed; the journal says how far it got

Each message says what was asked, what is the case, and (``hint``) what to do next.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any

from qadapt.version import install_command


class QadaptError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what was asked and what is the case.
        hint: what to do next; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Some errors are made of other words than those that they keep, so the usual way back
        # from another process, calling the class again, does not lead there.
        return _rebuilt, (type(self), self.args, dict(self.__dict__))


def _rebuilt(kind: type[QadaptError], args: tuple[Any, ...], state: dict[str, Any]) -> QadaptError:
    """An error as it was, from another process."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(QadaptError, ValueError):
    """The caller's data or words are wrong.

    Attributes:
        limit: what refuses the request is a limit of the collection (Qdrant's strict mode), which
            may have been set since the caller chose these words.
    """

    exit_code = 2
    limit = False


def over_limit(message: str, *, hint: str) -> InputError:
    """The error for a request beyond a limit of the collection."""
    error = InputError(message, hint=hint)
    error.limit = True
    return error


class SpecError(InputError):
    """A quantization, a spec file, an option or a filter that cannot be understood."""

    @classmethod
    def unknown(cls, what: str, given: str, known: Iterable[str], *, where: str = "") -> SpecError:
        """An unknown word, with the nearest known one and the whole list."""
        names = [str(name) for name in known]
        near = difflib.get_close_matches(str(given), names, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        place = f" in {where}" if where else ""
        return cls(
            f"unknown {what} {given!r}{place}", hint=f"{guess}known: {', '.join(names) or 'none'}"
        )


def refuse_pairs(*pairs: tuple[bool, str, str, str]) -> None:
    """Refuse what would have no effect beside something else that was given.

    Args:
        pairs: whether that is so, the word, the other one with "with" or "without", and why.

    Raises:
        InputError: the first that is so; it names both.
    """
    for wrong, word, beside, why in pairs:
        if wrong:
            raise InputError(f"{word} has no effect {beside}: {why}", hint="leave one of both out")


class AddressError(SpecError):
    """A store address that cannot be understood."""


def _rows(rows: Sequence[int], total: int) -> str:
    shown = ", ".join(str(int(row)) for row in rows[:10])
    return shown + (f", ... ({total} in all)" if total > len(rows[:10]) else "")


def _these_rows(total: int, ids: Sequence[int | str]) -> str:
    if not ids:
        return "these rows"
    named = ", ".join(repr(key)[:60] for key in ids[:10])
    return f"these rows (ids {named}{', ...' if total > len(ids[:10]) else ''})"


def _untouched(what: str) -> str:
    return "" if what == "queries" else "; nothing was written"


class _RowsError(InputError):
    """Base of errors that name rows.

    Args:
        hint: what to do, with ``{rows}`` where the rows are named.

    Attributes:
        rows: the first offending row numbers, counted from 0.
        total: how many rows offend.
        ids: the ids of these rows, where they are known.
    """

    def __init__(
        self,
        message: str,
        rows: Sequence[int],
        total: int | None = None,
        *,
        hint: str,
        ids: Sequence[int | str] = (),
    ) -> None:
        self.rows = [int(row) for row in rows]
        self.total = len(self.rows) if total is None else int(total)
        self.ids = list(ids)
        hint = hint.format(rows=_these_rows(self.total, self.ids))
        super().__init__(f"{message}: {_rows(self.rows, self.total)}", hint=hint)


class NonFiniteError(_RowsError):
    """NaN or infinite values."""

    def __init__(
        self,
        rows: Sequence[int],
        total: int | None = None,
        *,
        what: str = "vectors",
        ids: Sequence[int | str] = (),
    ) -> None:
        super().__init__(
            f"NaN or infinite values in {what}, rows",
            rows,
            total,
            hint="drop or repair {rows}; a value over 3.4e38 is infinite as float32"
            + _untouched(what),
            ids=ids,
        )


class ZeroVectorError(_RowsError):
    """Zero vectors where the metric is cosine."""

    def __init__(
        self,
        rows: Sequence[int],
        total: int | None = None,
        *,
        what: str = "vectors",
        ids: Sequence[int | str] = (),
    ) -> None:
        super().__init__(
            f"zero under the cosine metric, so without a direction, in {what}, rows",
            rows,
            total,
            hint="drop {rows}, or use the metric dot or euclidean" + _untouched(what),
            ids=ids,
        )


# What datatypes hold, for messages.
_HOLDS = {
    "float32": "numbers from 1.4e-45 to 3.4e38 in size",
    "float16": "numbers from 6e-8 to 65,504 in size",
    "bfloat16": "numbers from 9.2e-41 to 3.39e38 in size",
    "uint8": "whole numbers from 0 to 255",
    "int8": "whole numbers from -128 to 127",
}


def unheld_rows(
    rows: Sequence[int],
    total: int | None = None,
    *,
    datatype: str,
    what: str = "vectors",
    ids: Sequence[int | str] = (),
) -> InputError:
    """The error for rows with values that the datatype of their vector cannot hold."""
    holds = _HOLDS.get(datatype, "vectors of a length up to 3.4e38")
    count = len(rows) if total is None else total
    return InputError(
        f"{what}: the datatype {datatype} holds {holds}; other values are in rows: "
        f"{_rows(rows, count)}",
        hint=f"scale or round {_these_rows(count, ids)}, or create the vector with the datatype "
        f"float32{_untouched(what)}",
    )


class DimensionError(InputError):
    """Wrong number of dimensions."""

    def __init__(self, expected: int, got: int, *, what: str = "vectors") -> None:
        self.expected, self.got = expected, got
        super().__init__(
            f"{what}: {got} dimensions, expected {expected}",
            hint="check that the same embedding model made the stored and the given vectors",
        )


class CalibrationError(InputError):
    """Integer codes were asked for without ranges that fit."""


class NotFoundError(QadaptError, LookupError):
    """A collection, named vector, id or change that is not there."""

    @classmethod
    def missing(cls, what: str, name: str, known: Iterable[str]) -> NotFoundError:
        """A name that is not there, with the nearest one that is."""
        names = sorted(str(item) or "the unnamed one" for item in known)
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        return cls(f"no {what} {name!r}", hint=f"{guess}there: {listed or 'none'}")


class AlreadyExistsError(QadaptError):
    """A collection of that name is there already."""


class UnsupportedError(QadaptError):
    """The store cannot do what was asked."""


class TooFewRowsError(UnsupportedError):
    """So few rows that the engine does not build these codes; it will when there are more."""


class MissingExtraError(QadaptError):
    """A package is not installed."""

    def __init__(self, package: str, extra: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            hint=install_command(extra),
        )


class IntegrityError(QadaptError):
    """A torn, foreign or damaged file or folder: nothing was read from it."""


class StorageError(QadaptError):
    """A file or folder of this machine cannot be read or written."""

    @classmethod
    def of(cls, error: OSError, doing: str = "", *, hint: str | None = None) -> StorageError:
        """The error for an ``OSError``, with what to do about it.

        Args:
            error: as the system reported it.
            doing: what failed, such as ``cannot write the state folder /x``.
            hint: what to do where the reason of the system suggests nothing.
        """
        reason = error.strerror or str(error)
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "a file has that name, and a folder is needed"
        name = error.filename if isinstance(error.filename, (str, bytes)) else None
        place = "" if name is None or str(name) in doing else f" ({name!s})"
        advice = _ADVICE.get(error.errno or 0) or hint
        return cls(f"{doing or 'a file cannot be read or written'}: {reason}{place}", hint=advice)


_ADVICE = {
    errno.ENOSPC: "free some space on that disk, then run it again",
    errno.EDQUOT: "free some of your disk quota, then run it again",
    errno.EACCES: "check who may read and write that file or folder",
    errno.EPERM: "check who may read and write that file or folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then run it again",
    errno.ENFILE: "raise the limit of open files (ulimit -n), then run it again",
}


class StoreError(QadaptError):
    """The store refused or failed; asking again will not help."""


class AuthError(StoreError):
    """The key is missing, wrong, or lacks the right.

    Attributes:
        unchanged: the request that was refused was the first of its step, so the step did nothing.
    """

    unchanged = False


class TransientError(StoreError):
    """The store failed in a way that may pass; only these are retried."""


class UnreachableError(TransientError):
    """The server does not answer, or went away."""


class BusyError(TransientError):
    """Locked by another process, rate limited, or still at an earlier change."""


class StoreTimeoutError(TransientError):
    """The time limit passed before the store was done."""


class PlanError(QadaptError):
    """Planning or applying a change failed."""


class PlanStale(PlanError):
    """The collection changed since the plan was made."""

    exit_code = 4


class ConsentRequired(PlanError):
    """A step cannot be reversed or stops searches, and nobody agreed to it."""

    exit_code = 4


class GuardMissed(PlanError):
    """Recall fell under the guard and the change was undone; or the guard would prove nothing and
    nothing was changed."""

    exit_code = 3


class ApplyError(PlanError):
    """A step failed; the journal says how far the change got."""


class QadaptWarning(UserWarning):
    """Base of all warnings that qadapt issues."""


class InsecureTransportWarning(QadaptWarning):
    """A key is sent over a connection without TLS to another machine."""
