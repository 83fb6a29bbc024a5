"""Datatypes that Qdrant does not have."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_helpers import info_of, serve

import qadapt as qa
from qadapt.errors import InputError
from qadapt.model import Vector
from qadapt.stores.qdrant import version


@pytest.mark.parametrize("datatype", ["bfloat16", "int8"])
def test_datatypes_of_other_databases_are_rejected(datatype: Any) -> None:
    problem = version.datatype(Vector(4, datatype=datatype), None)
    supported = "it has float32, uint8, float16, turbo4, turbo8, turbo16"
    assert problem == f"Qdrant does not support the datatype {datatype}; {supported}"


def test_a_uint8_vector_accepts_integers_only() -> None:
    server = serve(info_of({"size": 2, "distance": "Dot", "datatype": "uint8"}))
    with pytest.raises(InputError, match="uint8"):
        server.store().write("articles", qa.Batch([1], {"": [[0.5, 1]]}))
    assert server.writes() == []
