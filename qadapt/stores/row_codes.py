"""The operation that sets the codes of a vector in a row store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qadapt.model import CollectionInfo, Quantization
from qadapt.stores.operations import Execution, Operation

if TYPE_CHECKING:
    from qadapt.stores.row_store import RowStore


@dataclass(frozen=True)
class SetCodes(Operation):
    """Builds or deletes the codes of a vector.

    Attributes:
        codes: the quantization in its string form.
    """

    op: ClassVar[str] = "set_codes"

    vector: str
    codes: str

    def __post_init__(self) -> None:
        Quantization.parse(self.codes)

    def run(self, at: Execution[RowStore]) -> None:
        at.store.must_be_there(at.collection)
        target = Quantization.parse(self.codes)
        at.store.set_codes(at.collection, self.vector, target, at.progress)

    def reverse(self, snapshot: CollectionInfo) -> SetCodes:
        """The current codes."""
        return SetCodes(self.vector, str(snapshot.vectors[self.vector].quantization))
