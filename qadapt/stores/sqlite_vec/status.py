"""The state of the codes of a vector, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model import Evidence, State, Status
from qadapt.stores.sqlite_vec.code_tables import Agreement
from qadapt.stores.sqlite_vec.schema import Codes

APPLY = "`qadapt apply` writes the missing codes"
NO_TRIGGERS = "sqlite-vec keeps no table in step with another: each program must write the codes"


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        count: number of rows.
        codes: the codes that a search uses; None if there are none.
        agreement: how they agree with the rows; None if they could not be read.
        size: bytes of the codes.
    """

    count: int
    codes: Codes | None = None
    agreement: Agreement | None = None
    size: int = 0


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    codes, found = observation.codes, observation.agreement
    if codes is None:
        why = "no codes: a search compares the original vectors of all rows"
        return Status(State.ABSENT, why, evidence=evidence)
    if not codes.exists:
        why = f"the table of codes {codes.table!r} does not exist: another program dropped it"
        return Status(State.IGNORED, why, evidence=evidence, advice="`qadapt apply` creates it")
    assert found is not None
    if not codes.ready:
        why = "a build of the codes is in progress or was cut off"
        share = found.coded / found.count if found.count else None
        return Status(State.BUILDING, why, share, evidence, "`qadapt apply` completes it")
    if found.in_step:
        return Status(State.ACTIVE, evidence=evidence)
    return Status(State.IGNORED, _difference(codes, found), evidence=evidence, advice=APPLY)


def _difference(codes: Codes, found: Agreement) -> str:
    if not codes.separate:
        return (
            f"{found.different:,} of {found.compared:,} codes in the column {codes.column!r} are "
            "not the sign bits of their vectors: an UPDATE of a vector leaves them behind, and "
            "vec0 cannot update them"
        )
    parts = []
    if found.without:
        parts.append(f"{found.without:,} of {found.count:,} rows have no code")
    orphans = found.coded - (found.count - found.without)
    if orphans > 0:
        parts.append(f"{orphans:,} codes have no row")
    if found.different:
        parts.append(f"{found.different:,} of {found.compared:,} codes are outdated")
    return f"{'; '.join(parts)}, so searches compare the original vectors; {NO_TRIGGERS}"


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    codes, found = observation.codes, observation.agreement
    listed = [Evidence("rows", observation.count)]
    if codes is None:
        return tuple(listed)
    where = codes.table if codes.separate else f"{codes.table}.{codes.column}"
    listed += [Evidence("codes", where), Evidence("kind of the codes", codes.kind)]
    if found is not None:
        listed += [
            Evidence("rows of the codes", found.coded),
            Evidence("rows without a code", found.without),
            Evidence("codes computed again", found.compared),
            Evidence("codes that differ", found.different),
            Evidence("bytes of the codes", observation.size),
        ]
    return tuple(listed)
