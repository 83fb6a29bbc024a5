"""The cost of a collection per store and setting: bytes in RAM and on disk, price per month."""

from qadapt.costing.compare import as_seen, compare, cost, memory
from qadapt.costing.document import Cost, Line, Prices, Scale
from qadapt.footprint import Component, Footprint

__all__ = [
    "Component",
    "Cost",
    "Footprint",
    "Line",
    "Prices",
    "Scale",
    "as_seen",
    "compare",
    "cost",
    "memory",
]
