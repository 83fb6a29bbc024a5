"""A table turns errors of a client into those of qadapt."""

from __future__ import annotations

import sqlite3

import pytest

from qadapt.errors import BusyError, IntegrityError, NotFoundError, QadaptError
from qadapt.stores.error_table import ErrorRule, translated

RULES = (
    ErrorRule(sqlite3.OperationalError, BusyError, "locked", "try again"),
    ErrorRule(sqlite3.DatabaseError, IntegrityError),
)


def raise_(error: Exception) -> None:
    with translated(RULES, "write to 'articles'"):
        raise error


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (sqlite3.OperationalError("database is Locked"), BusyError, "try again"),
        (sqlite3.OperationalError("no such table"), IntegrityError, None),
        (sqlite3.DatabaseError("malformed"), IntegrityError, None),
    ],
)
def test_the_first_matching_rule_applies(
    error: Exception, kind: type[QadaptError], hint: str | None
) -> None:
    with pytest.raises(kind, match="could not write to 'articles'") as found:
        raise_(error)
    assert type(found.value) is kind
    assert found.value.hint == hint
    assert found.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("mine"), NotFoundError("gone")])
def test_other_errors_and_those_of_qadapt_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as found:
        raise_(error)
    assert found.value is error
