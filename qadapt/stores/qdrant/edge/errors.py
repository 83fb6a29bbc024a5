"""Translation of the engine's errors to those of qadapt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from qadapt.errors import (
    BusyError,
    DimensionError,
    IntegrityError,
    NotFoundError,
    QadaptError,
    StoreError,
)
from qadapt.stores.error_table import AnswerRule, by_table

_RULES = (
    AnswerRule(
        NotFoundError,
        "`qadapt inspect` lists the vectors of the collection",
        words=("not existing vector name",),
    ),
    AnswerRule(
        IntegrityError,
        "the folder of the collection is damaged: restore it from a backup",
        words=("no segments were loaded", "failed to deserialize"),
    ),
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate the engine's errors to those of qadapt; for engine calls only.

    The engine raises a bare ``Exception``, its Python binding raises TypeError, ValueError and
    OverflowError, and a panic is a separate BaseException.

    Args:
        doing: the attempted action, for the message: ``"write to 'articles'"``.
    """
    try:
        yield
    except QadaptError:
        raise
    except OSError as error:
        raise StoreError(
            f"could not {doing}: {error}",
            hint="check the permissions of the folder, and the free disk space",
        ) from error
    except Exception as error:
        raise translate(str(error), doing) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(
            f"Qdrant's engine panicked: could not {doing}: {error}",
            hint="restart this process; if it happens again, restore the folder from a backup",
        ) from error


def translate(words: str, doing: str) -> QadaptError:
    """The error of qadapt for a message of the engine."""
    text = words.removeprefix("Service runtime error: ")
    if "WouldBlock" in text:
        return BusyError(
            f"could not {doing}: another process has the collection open",
            hint="only one process at a time can open it; end the other one (it may be an "
            "interrupted rebuild that is still finishing) and try again",
        )
    wrong = re.search(r"Vector dimension error: expected dim: (\d+), got (\d+)", text)
    if wrong:
        return DimensionError(int(wrong[1]), int(wrong[2]))
    found = by_table(_RULES, f"could not {doing}: {text}", words=text)
    return found or StoreError(
        f"could not {doing}; Qdrant's engine reports: {text}",
        hint="`qadapt doctor` checks the collection",
    )
