"""What a collection costs in each store's settings: bytes in RAM and on disk, money a month."""

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
