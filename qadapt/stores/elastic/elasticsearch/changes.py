"""Plans of changes."""

from __future__ import annotations

from typing import Any

from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.operations import Operations, table
from qadapt.stores.store_types import MappedQuantization

OPERATIONS: Operations = table()


def plan_change(
    store: Any, request: ChangeRequest, mapped: MappedQuantization | None
) -> ChangePlan:
    return ChangePlan()
