"""The exceptions that qadapt raises.

    QadaptError
    ├── InputError (ValueError)        invalid data or arguments                      exit 2
    │   ├── SpecError                  invalid quantization, spec file, option, filter
    │   │   └── AddressError           invalid database address
    │   ├── NonFiniteError             NaN or infinite values, with row numbers
    │   ├── ZeroVectorError            zero vectors with cosine, with row numbers
    │   ├── DimensionError             wrong number of dimensions
    │   └── CalibrationError           int8/uint8 codes without usable ranges
    ├── NotFoundError (LookupError)    a collection, vector, id or change does not exist
    ├── AlreadyExistsError             a collection of that name exists
    ├── UnsupportedError               not supported by the database
    │   └── TooFewRowsError            too few rows to build these codes
    ├── MissingExtraError              a client package is not installed
    ├── IntegrityError                 a damaged file or folder, or one of another program
    ├── StorageError                   a local file or folder cannot be used
    ├── StoreError                     the database rejected the request or failed
    │   ├── AuthError                  API key missing, wrong or without permission
    │   │   └── ReadOnlyError          the server is read-only, such as a replica
    │   └── TransientError             temporary; only these errors are retried
    │       ├── UnreachableError       the server does not respond
    │       ├── BusyError              locked, rate limited, or busy with a change
    │       └── StoreTimeoutError      the time limit was exceeded
    └── PlanError                      planning or applying a change failed
        ├── PlanStaleError                  the collection changed after planning          exit 4
        ├── ConsentRequiredError            a step needs `yes=True` or `--yes`              exit 4
        ├── GuardMissedError                recall is below the guard; rolled back           exit 3
        └── ApplyError                 a step failed; see the journal

A message says what failed and why; ``hint`` says what to do next.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any

from qadapt.used_keys import mask_used
from qadapt.version import install_command


class QadaptError(Exception):
    """Base class of all qadapt errors. Keys that this process has used are masked in both texts.

    Args:
        message: what failed, and why.
        hint: what to do next; printed on a separate line.

    Attributes:
        collection: name of the collection, if the error concerns one.
        store: name of the database, such as ``"qdrant"``, if it is known.
        operation: the method of the public interface that failed, such as ``"search"``.
    """

    exit_code = 1
    collection: str | None = None
    store: str | None = None
    operation: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        message = mask_used(message)
        super().__init__(message)
        self.message = message
        self.hint = mask_used(hint) if hint else hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Some errors have constructor arguments other than ``args``, so the default, which calls
        # the class again, would not restore them.
        return _rebuilt, (type(self), self.args, dict(self.__dict__))


def _rebuilt(kind: type[QadaptError], args: tuple[Any, ...], state: dict[str, Any]) -> QadaptError:
    """Restore a pickled error."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(QadaptError, ValueError):
    """Invalid data or arguments.

    Attributes:
        limit: the request exceeds a limit of the collection (strict mode of Qdrant), which may have
            been set after the caller chose the arguments.
    """

    exit_code = 2
    limit = False


def over_limit(message: str, *, hint: str) -> InputError:
    """The error for a request beyond a limit of the collection."""
    error = InputError(message, hint=hint)
    error.limit = True
    return error


class SpecError(InputError):
    """An invalid quantization, spec file, option or filter."""

    @classmethod
    def unknown(cls, what: str, given: str, known: Iterable[str], *, where: str = "") -> SpecError:
        """The error for an unknown name; the hint suggests the nearest known one."""
        names = [str(name) for name in known]
        near = difflib.get_close_matches(str(given), names, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        place = f" in {where}" if where else ""
        return cls(
            f"unknown {what} {given!r}{place}", hint=f"{guess}known: {', '.join(names) or 'none'}"
        )


class AddressError(SpecError):
    """An invalid database address."""


def row_numbers(rows: Sequence[int], total: int) -> str:
    """The first row numbers, for a message."""
    shown = ", ".join(str(int(row)) for row in rows[:10])
    return shown + (f", ... ({total} in total)" if total > len(rows[:10]) else "")


def these_rows(total: int, ids: Sequence[int | str]) -> str:
    """Rows in a hint, with their ids if these are known."""
    if not ids:
        return "these rows"
    named = ", ".join(repr(key)[:60] for key in ids[:10])
    return f"these rows (ids {named}{', ...' if total > len(ids[:10]) else ''})"


def untouched(what: str) -> str:
    """What the hint of an error of rows ends with: a write changes nothing."""
    return "" if what == "queries" else "; nothing was written"


class _RowsError(InputError):
    """Base class of errors that name rows.

    Args:
        hint: what to do; ``{rows}`` is replaced by the rows.

    Attributes:
        rows: numbers of the first invalid rows, starting at 0.
        total: number of invalid rows.
        ids: ids of these rows, if they are known.
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
        hint = hint.format(rows=these_rows(self.total, self.ids))
        super().__init__(f"{message}: {row_numbers(self.rows, self.total)}", hint=hint)


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
            hint="remove or correct {rows}; values above 3.4e38 are infinite in float32"
            + untouched(what),
            ids=ids,
        )


class ZeroVectorError(_RowsError):
    """Zero vectors with the cosine metric."""

    def __init__(
        self,
        rows: Sequence[int],
        total: int | None = None,
        *,
        what: str = "vectors",
        ids: Sequence[int | str] = (),
    ) -> None:
        super().__init__(
            f"zero vectors cannot be normalized (metric cosine), in {what}, rows",
            rows,
            total,
            hint="remove {rows}, or use the metric dot or euclidean" + untouched(what),
            ids=ids,
        )


class DimensionError(InputError):
    """Wrong number of dimensions."""

    def __init__(self, expected: int, got: int, *, what: str = "vectors") -> None:
        self.expected, self.got = expected, got
        super().__init__(
            f"{what}: {got} dimensions, expected {expected}",
            hint="use the embedding model that created the stored vectors",
        )


class CalibrationError(InputError):
    """Integer codes without suitable ranges."""


class NotFoundError(QadaptError, LookupError):
    """A collection, named vector, id or change does not exist."""

    @classmethod
    def missing(cls, what: str, name: str, known: Iterable[str]) -> NotFoundError:
        """The error for a missing name; the hint suggests the nearest existing one."""
        names = sorted({str(item) or "(unnamed)" for item in known})
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        hint = f"{guess}existing: {listed}" if names else f"no {what}s exist"
        return cls(f"{what} {name!r} does not exist", hint=hint)


class AlreadyExistsError(QadaptError):
    """A collection of that name exists."""


class UnsupportedError(QadaptError):
    """The database does not support the request."""


class TooFewRowsError(UnsupportedError):
    """The engine builds these codes only if there are more rows."""


class MissingExtraError(QadaptError):
    """A package is not installed."""

    def __init__(self, package: str, extra: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            hint=install_command(extra),
        )


class IntegrityError(QadaptError):
    """A file or folder is damaged or belongs to another program; nothing was read from it."""


class StorageError(QadaptError):
    """A local file or folder cannot be read or written."""

    @classmethod
    def of(cls, error: OSError, doing: str = "", *, hint: str | None = None) -> StorageError:
        """Convert an ``OSError``.

        Args:
            error: as the system reported it.
            doing: what failed, such as ``cannot write the state folder /x``.
            hint: what to do, besides the advice for this ``errno``.
        """
        reason = error.strerror or str(error)
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "a file with this name exists where a folder is needed"
            hint = hint or "choose another path, or move the file away"
        if error.errno == errno.ENOENT and "temporary directory" in reason:  # by tempfile
            hint = hint or "free disk space, or set TMPDIR to a folder with free space"
        name = error.filename if isinstance(error.filename, (str, bytes)) else None
        place = "" if name is None or str(name) in doing else f" ({name!s})"
        advice = ", or ".join(filter(None, (hint, _ADVICE.get(error.errno or 0)))) or None
        return cls(f"{doing or 'cannot read or write a file'}: {reason}{place}", hint=advice)


_ADVICE = {
    errno.ENOSPC: "free disk space, then run the command again",
    errno.EDQUOT: "free some of your disk quota, then run the command again",
    errno.EACCES: "check the permissions of this file or folder",
    errno.EPERM: "check the permissions of this file or folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then run the command again",
    errno.ENFILE: "raise the limit of open files (ulimit -n), then run the command again",
}


def advice_for(error: OSError, otherwise: str | None) -> str | None:
    """What to do after an error of the system, such as a full disk."""
    return _ADVICE.get(error.errno or 0) or otherwise


class StoreError(QadaptError):
    """The database rejected the request or failed; retrying does not help."""


class AuthError(StoreError):
    """The API key is missing, wrong, or lacks permission.

    Attributes:
        unchanged: the rejected request was the first of its step, so nothing was changed.
    """

    unchanged = False


class ReadOnlyError(AuthError):
    """The server or the session is read-only, such as a replica; nothing was changed."""

    unchanged = True


class TransientError(StoreError):
    """A temporary failure; only these errors are retried."""


class UnreachableError(TransientError):
    """The server does not respond."""


class BusyError(TransientError):
    """Locked by another process, rate limited, or busy with an earlier change."""


class StoreTimeoutError(TransientError):
    """The time limit was exceeded."""


class PlanError(QadaptError):
    """Planning or applying a change failed."""


class PlanStaleError(PlanError):
    """The collection changed after the plan was made."""

    exit_code = 4


class ConsentRequiredError(PlanError):
    """A step that cannot be reversed or blocks searches was not confirmed."""

    exit_code = 4


class GuardMissedError(PlanError):
    """Recall is below the guard and the change was rolled back, or the guard would prove nothing
    and nothing was changed."""

    exit_code = 3


class ApplyError(PlanError):
    """A step failed; the journal contains the state of the change."""


class QadaptWarning(UserWarning):
    """Base class of all qadapt warnings."""


class InsecureTransportWarning(QadaptWarning):
    """An API key is sent to another host without TLS."""
