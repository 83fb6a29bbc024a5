"""Tools for authors of stores: the conformance suite, and data on which quantization loses recall.

    class TestMyStore(StoreConformance):
        must_support = ("scalar", "binary")

        @pytest.fixture
        def database(self, tmp_path):
            with qadapt.open(f"mystore:{tmp_path}") as db:
                yield db

Needs pytest, which is not a dependency of qadapt itself.
"""

from qadapt.testing.cells import CellTests
from qadapt.testing.conformance import StoreConformance
from qadapt.testing.data import Sample, clustered

__all__ = ["CellTests", "Sample", "StoreConformance", "clustered"]
