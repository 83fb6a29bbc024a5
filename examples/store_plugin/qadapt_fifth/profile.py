"""What qadapt knows of the store before it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.footprint import CostModel, Footprint, Part, original_bytes
from qadapt.model import Id, Kind, Match, Quantization, Rule, Support, Vector
from qadapt.model.address_form import AddressForm
from qadapt.quantizers import Codes, Model, QuantizerModels
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits
from qadapt.stores.terms import Mapped

from qadapt_fifth.codes import Scale

_NATIVE, _CLIENT, _NO = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED
SOURCE = "the tables of qadapt_fifth/engine.py"
NONE = Quantization(Kind.NONE)
SCALAR = Quantization(Kind.SCALAR, bits=8)

RULES = (
    Rule("native-quantization", _NATIVE, "int8 codes in a column beside the vector"),
    Rule("native-rescore", _CLIENT, "by qadapt, over the stored vectors"),
    Rule("native-oversampling", _NATIVE, "every row is compared"),
    Rule("native-undo", _NATIVE, "the codes are deleted"),
    Rule("native-filter", _CLIENT, "by qadapt, over the stored payloads"),
    Rule("named-vectors", _NATIVE, "a column each"),
    Rule("native-scalar", _NATIVE, "one scale for all dimensions"),
    Rule("native-scalar:8", _NATIVE, "one scale for all dimensions"),
    Rule("native-binary", _CLIENT, "scalar codes only"),
    Rule("native-product", _NO, "scalar codes only"),
    Rule("native-rotational", _NO, "scalar codes only"),
    Rule("native-float16", _NO, "scalar codes only"),
)


def mapping(quantization: Quantization, vector: Vector) -> Mapped:
    """A quantization as the engine has it: none, or int8 codes."""
    wanted = quantization.codes_only
    if wanted.kind is Kind.NONE:
        return Mapped({"codes": None}, NONE, Match.of())
    if wanted.kind is not Kind.SCALAR or wanted.bits not in (None, 8):
        why = f"the store has int8 codes only, not {wanted}"
        return Mapped(None, quantization, Match.unsupported(why, "scalar"))
    return Mapped({"codes": "int8"}, SCALAR, Match.of())


def accepts_id(key: Id) -> bool:
    """A 64-bit integer from 0, or a text that is not empty."""
    return 0 <= key < 2**63 if isinstance(key, int) else bool(key)


class FifthCost(CostModel):
    """Everything is in the file; a search reads the codes, or the vectors, into RAM in pages."""

    store = "fifth"

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = mapping(quantization, vector)
        if mapped.native is None:
            raise UnsupportedError(mapped.match.differences[0])
        codes = count * vector.dim if mapped.native["codes"] else 0
        parts = (
            Part("codes", 0, codes, "1 B a dimension", SOURCE),
            Part("originals", 0, original_bytes(count, vector), "float32", SOURCE),
        )
        return Footprint.of(self.store, mapped.target, parts, native=mapped.native)


class Int8(Model):
    """The engine's codes; queries stay float32."""

    def _fit(self, rows: np.ndarray) -> None:
        self._scale = Scale.of(rows)

    def _rows(self, rows: np.ndarray) -> Codes:
        return self._stand_for(self._scale.decode(self._scale.encode(rows)))

    def _queries(self, queries: np.ndarray) -> np.ndarray:
        return self._asking(queries)


class FifthQuantizers(QuantizerModels):
    """Of the one quantizer."""

    def quantizer(
        self, target: Quantization, vector: Vector, native: Mapping[str, Any]
    ) -> tuple[str, Model]:
        return "scalar of 8 bits", Int8(vector.metric)


PROFILE = StoreProfile(
    interface=1,
    name="fifth",
    store="qadapt_fifth.store:FifthStore",
    package="",
    distribution="",
    address=AddressForm(ports={"http": 5555}, local="folder", key_variables=("FIFTH_API_KEY",)),
    deployments=("embedded", "server"),
    rules=RULES,
    mapping=mapping,
    cost_model=FifthCost(),
    quantizers=FifthQuantizers(),
    checks=(DoctorCheck("clipped-codes", "Rows outside of the range that the codes cover."),),
    traits=Traits(accepts_id=accepts_id),
)
