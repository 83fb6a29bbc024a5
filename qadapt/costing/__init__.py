"""The cost of a collection per store and setting: bytes in RAM and on disk, price per month."""

from qadapt.costing.compare import LiveVector, compare, cost
from qadapt.costing.document import Cost, Line, Scale
from qadapt.costing.footprints import as_planned, as_seen, memory
from qadapt.footprint import Component, Footprint
from qadapt.model import Prices

__all__ = [
    "Component",
    "Cost",
    "Footprint",
    "Line",
    "LiveVector",
    "Prices",
    "Scale",
    "as_planned",
    "as_seen",
    "compare",
    "cost",
    "memory",
]
