"""Writing rows to a target, so that one odd payload does not stop the others.

What a store takes may depend on rows that came before: Weaviate gives a property one type, so an
entry that is a list in one row and text in another is refused there. Such a row goes with its
whole payload as a note (``carrier``), which any store takes and which comes home.
"""

from __future__ import annotations

from collections.abc import Callable

from qadapt.errors import InputError
from qadapt.migration.carrier import Carrier
from qadapt.migration.picking import pick
from qadapt.model import Batch, Id

Write = Callable[[Batch], None]
IMPOSSIBLE = "impossible-rows"


def put(batch: Batch, carrier: Carrier, write: Write, allow: frozenset[str]) -> dict[Id, str]:
    """Write rows that came home; those that the target cannot hold at all are given back.

    Args:
        write: sends carried rows; whole batches or nothing, when it refuses their content.

    Raises:
        InputError: a row that cannot be held, and ``impossible-rows`` is not allowed.
    """
    if not len(batch):
        return {}
    try:
        write(carrier.carry(batch))
    except InputError as error:
        if len(batch) > 1:
            middle = len(batch) // 2
            halves = [range(middle), range(middle, len(batch))]
            left = [put(pick(batch, list(rows)), carrier, write, allow) for rows in halves]
            return {**left[0], **left[1]}
        return _alone(batch, carrier, write, allow, error)
    return {}


def _alone(
    batch: Batch, carrier: Carrier, write: Write, allow: frozenset[str], first: InputError
) -> dict[Id, str]:
    """One row as a note; where that is refused too, what was wrong with the row itself counts."""
    key = batch.ids[0]
    try:
        write(carrier.carry(batch, whole=True))
    except InputError:
        # The store counts rows of the batch, which is this one row.
        why = first.message.replace(" of row 0", "")
        if IMPOSSIBLE not in allow:
            raise refused(key, why) from first
        return {key: why}
    return {}


def refused(key: Id, why: str, rest: str = "") -> InputError:
    """The error of a row that the target cannot hold."""
    return InputError(
        f"the row {key!r} cannot be held by the target: {why}{rest}",
        hint=f"repair it, or leave such rows out, which is listed: --allow {IMPOSSIBLE}",
    )
