"""Scan engines: nearest rows by reading all codes.

from qadapt.engines import get_engine
rows, distances = get_engine().hamming_topk(query_words, [code_words], k=100)
"""

from __future__ import annotations

from qadapt.engines.base import Engine
from qadapt.engines.numpy_engine import NumpyEngine
from qadapt.engines.registry import engine_names, get_engine
from qadapt.engines.scan import score_topk
from qadapt.engines.select import counting_select, score_select

__all__ = [
    "Engine",
    "NumpyEngine",
    "counting_select",
    "engine_names",
    "get_engine",
    "score_select",
    "score_topk",
]
