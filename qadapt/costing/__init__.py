"""What a collection costs in each store's settings: bytes in RAM and on disk, money a month."""

from qadapt.costing.compare import as_seen, compare, cost, memory
from qadapt.costing.document import Cost, Line, Prices, Scale
from qadapt.footprint import Footprint, Part

__all__ = [
    "Cost",
    "Footprint",
    "Line",
    "Part",
    "Prices",
    "Scale",
    "as_seen",
    "compare",
    "cost",
    "memory",
]
