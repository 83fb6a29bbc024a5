"""Public API: Database, Collection, Plan and Change."""

from qadapt.api.async_collection import AsyncCollection
from qadapt.api.async_database import AsyncDatabase, aopen
from qadapt.api.change import (
    Change,
    History,
    Plan,
    abandon,
    apply_plans,
    history,
    load_plan,
    undo,
)
from qadapt.api.collection import Collection
from qadapt.api.database import Database, open, plan_spec, wrap

__all__ = [
    "AsyncCollection",
    "AsyncDatabase",
    "Change",
    "Collection",
    "Database",
    "History",
    "Plan",
    "abandon",
    "aopen",
    "apply_plans",
    "history",
    "load_plan",
    "open",
    "plan_spec",
    "undo",
    "wrap",
]
