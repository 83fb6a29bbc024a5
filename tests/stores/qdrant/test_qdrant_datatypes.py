"""Datatypes that Qdrant does not have."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt.model import Vector
from qadapt.stores.qdrant import gates


@pytest.mark.parametrize("datatype", ["bfloat16", "int8"])
def test_datatypes_of_other_stores_are_refused_by_name(datatype: Any) -> None:
    problem = gates.datatype(Vector(4, datatype=datatype), None)
    assert problem == f"Qdrant has no vectors of the datatype {datatype}"
