"""The conformance suite for any store: subclass it, provide a ``database`` fixture, run it live."""

from __future__ import annotations

from qadapt.testing.asynchronous import AsyncTests
from qadapt.testing.quantization import QuantizationTests, SearchTests
from qadapt.testing.rows import BadInputTests, CollectionTests, RowTests
from qadapt.testing.scan_ranges import AliasTests, ScanRangeTests


class StoreConformance(
    CollectionTests,
    RowTests,
    ScanRangeTests,
    AliasTests,
    BadInputTests,
    SearchTests,
    QuantizationTests,
    AsyncTests,
):
    """All tests that a store's subclass inherits; see ``Suite`` for its attributes."""
