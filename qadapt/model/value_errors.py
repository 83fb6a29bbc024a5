"""Errors for finite values that cannot be stored or compared."""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.errors import InputError, row_numbers, these_rows, untouched
from qadapt.model.metric import Metric
from qadapt.model.vector_norms import LARGEST

# Value ranges of datatypes, for messages.
_HOLDS = {
    "float32": "absolute values from 1.4e-45 to 3.4e38",
    "float16": "absolute values from 6e-8 to 65,504",
    "bfloat16": "absolute values from 9.2e-41 to 3.39e38",
    "uint8": "integers from 0 to 255",
    "int8": "integers from -128 to 127",
    "bit": "-1 and 1 (as of numpy.where(x > 0, 1, -1)), or rows of one absolute value",
}


def unheld_rows(
    rows: Sequence[int],
    total: int | None = None,
    *,
    datatype: str,
    what: str = "vectors",
    ids: Sequence[int | str] = (),
) -> InputError:
    """The error for values that the datatype of the vector cannot represent."""
    holds = _HOLDS.get(datatype, "vectors with a norm of at most 3.4e38")
    count = len(rows) if total is None else total
    return InputError(
        f"{what}: the datatype {datatype} can store {holds}; other values in rows: "
        f"{row_numbers(rows, count)}",
        hint=f"scale or round {these_rows(count, ids)}, or create the vector with the datatype "
        f"float32{untouched(what)}",
    )


def overflowing_rows(
    rows: Sequence[int],
    total: int | None = None,
    *,
    metric: Metric,
    what: str = "vectors",
    ids: Sequence[int | str] = (),
) -> InputError:
    """The error for norms with which scores are infinite in float32."""
    count = len(rows) if total is None else total
    return InputError(
        f"the squared norm overflows float32 in {what}, rows: {row_numbers(rows, count)}",
        hint=f"scale {these_rows(count, ids)}: the metric {metric} allows norms of at most "
        f"{LARGEST[metric]:.2g}{untouched(what)}",
    )
