"""Support matrix: features per database and version, and how they were checked.

Capability data declares the features of a store. Runs of the conformance suite on live engines are
recorded in ``live_runs.json``, which contains only such records. Both are combined into the cells
of `qadapt matrix`, docs/matrix.json, docs/matrix.md and docs/support.md.

    QADAPT_MATRIX_OUT=cells.jsonl pytest tests/conformance/test_cells.py
    python -m qadapt.matrix merge cells.jsonl     into live_runs.json
    python -m qadapt.matrix write docs            the pages
"""

from qadapt.matrix.cells import Cell, cells, of_feature
from qadapt.matrix.live_runs import LiveRun, load, merge, read_records

__all__ = ["Cell", "LiveRun", "cells", "load", "merge", "of_feature", "read_records"]
