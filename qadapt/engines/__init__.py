"""Scan engines: nearest rows by reading all codes.

from qadapt.engines import get_engine
rows, distances = get_engine().hamming_topk(query_words, [code_words], k=100)
"""

from __future__ import annotations

from qadapt.engines.base import Engine, PlaneEngine
from qadapt.engines.numpy_engine import NumpyEngine
from qadapt.engines.registry import engine_names, get_engine, installed_engines
from qadapt.engines.scan import score_topk
from qadapt.engines.select import counting_select, score_select
from qadapt.threads import scan_threads, use_threads

__all__ = [
    "Engine",
    "NumpyEngine",
    "PlaneEngine",
    "counting_select",
    "engine_names",
    "get_engine",
    "installed_engines",
    "scan_threads",
    "score_select",
    "score_topk",
    "use_threads",
]
