"""What any store must hold. Subclass it, give a ``database`` fixture, and run it live."""

from __future__ import annotations

from qadapt.testing.parts import AliasTests, PartTests
from qadapt.testing.quantizing import QuantizationTests, SearchTests
from qadapt.testing.rows import BadInputTests, CollectionTests, RowTests


class StoreConformance(
    CollectionTests,
    RowTests,
    PartTests,
    AliasTests,
    BadInputTests,
    SearchTests,
    QuantizationTests,
):
    """All tests that a store's subclass inherits; see ``Suite`` for what it gives."""
