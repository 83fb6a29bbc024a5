"""Profile of the store, which qadapt reads without opening it."""

from __future__ import annotations

import numpy as np

from qadapt.footprint import TableCost
from qadapt.model import Id, Kind, Match, Quantization, Rule, Support, Vector
from qadapt.model.address_form import AddressForm
from qadapt.quantizers import Codes, Model, OneQuantizer
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits
from qadapt.stores.store_types import MappedQuantization

NONE, INT8 = Quantization(Kind.NONE), Quantization(Kind.SCALAR, bits=8)
STEPS = 127
PORTS = {"http": 5555, "https": 443}

RULES = (
    Rule("native-quantization", Support.NATIVE, "int8 codes in an additional column"),
    Rule("native-oversampling", Support.NATIVE, "every row is compared"),
    Rule("native-undo", Support.NATIVE, "the codes are deleted"),
    Rule("named-vectors", Support.NATIVE, "one column per vector"),
    Rule("native-scalar", Support.NATIVE, "one scale for all dimensions"),
    Rule("native-scalar:8", Support.NATIVE, "one scale for all dimensions"),
)


def encode(rows: np.ndarray, step: float) -> np.ndarray:
    """int8 codes of float32 rows, clipped to ``127 * step``."""
    return np.clip(np.rint(rows / np.float32(step)), -STEPS, STEPS).astype(np.int8)


def mapping(quantization: Quantization, vector: Vector) -> MappedQuantization:
    """Map a quantization to the store's: none, or int8 codes."""
    wanted = quantization.codes_only
    if wanted not in (NONE, INT8, Quantization(Kind.SCALAR)):
        return MappedQuantization(
            None, quantization, Match.unsupported(f"int8 codes only, not {wanted}", "scalar")
        )
    in_ram = [part for part in ("codes", "originals") if getattr(quantization, part) == "ram"]
    target = NONE if wanted == NONE else INT8
    match = Match.of(*(f"{part} stay on disk" for part in in_ram))
    return MappedQuantization({"codes": target == INT8}, target, match)


class Int8(Model):
    """The codes of rows; queries stay float32."""

    def _fit(self, rows: np.ndarray) -> None:
        self._step = float(np.abs(rows).max()) / STEPS or 1.0

    def _rows(self, rows: np.ndarray) -> Codes:
        return self._stand_for(encode(rows, self._step) * np.float32(self._step))

    def _queries(self, queries: np.ndarray) -> np.ndarray:
        return self._asking(queries)


def accepts_id(key: Id) -> bool:
    """A 64-bit integer from 0, or a printable text."""
    return 0 <= key < 2**63 if isinstance(key, int) else bool(key) and key.isprintable()


PROFILE = StoreProfile(
    interface=1,
    name="fifth",
    store="qadapt_fifth.store:FifthStore",
    address=AddressForm(PORTS, local="folder", key_variables=("FIFTH_API_KEY",)),
    deployments=("embedded", "server"),
    rules=RULES,
    mapping=mapping,
    cost_model=TableCost("fifth", mapping),
    quantizers=OneQuantizer("scalar of 8 bits", Int8),
    checks=(DoctorCheck("clipped-codes", "Rows outside of the range that the codes cover."),),
    traits=Traits(accepts_id=accepts_id),
)
