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


def raised(error: Exception) -> None:
    with translated(RULES, "write to 'articles'"):
        raise error


@pytest.mark.parametrize(
    ("error", "target_vector", "hint"),
    [
        (sqlite3.OperationalError("database is Locked"), BusyError, "try again"),
        (sqlite3.OperationalError("no such table"), IntegrityError, None),
        (sqlite3.DatabaseError("malformed"), IntegrityError, None),
    ],
)
def test_the_first_matching_rule_applies(
    error: Exception, target_vector: type[QadaptError], hint: str | None
) -> None:
    with pytest.raises(target_vector, match="could not write to 'articles'") as found:
        raised(error)
    assert type(found.value) is target_vector
    assert found.value.hint == hint
    assert found.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("mine"), NotFoundError("gone")])
def test_other_errors_and_those_of_qadapt_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as found:
        raised(error)
    assert found.value is error
