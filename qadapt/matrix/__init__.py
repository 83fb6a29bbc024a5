"""Support matrix: features per database and version, and how they were checked.

Capability data says what a store can do. Runs of the conformance suite on live engines say what
was seen (``live_runs.json``, which nothing but a run's record gets into). Both together are the
cells of
`qadapt matrix`, docs/matrix.json, docs/matrix.md and docs/support.md.

    QADAPT_MATRIX_OUT=cells.jsonl pytest tests/conformance/test_cells.py
    python -m qadapt.matrix merge cells.jsonl     into live_runs.json
    python -m qadapt.matrix write docs            the pages
"""

from qadapt.matrix.cells import Cell, cells, of_feature
from qadapt.matrix.live_runs import LiveRun, load, merge, read_records

__all__ = ["Cell", "LiveRun", "cells", "load", "merge", "of_feature", "read_records"]
