"""Codecs: conversion of vectors to int8, uint8, binary, ubinary or float16 codes, and scoring.

The values follow https://huggingface.co/blog/embedding-quantization and are byte-identical to
sentence-transformers 6.2 ``quantize_embeddings``, with one difference: NaN and infinity are
rejected with their row numbers, whereas that function converts them to a code. Scores are computed
with float queries multiplied by the quantization step (`fold`), or with queries of 1, 4, 8 or 32
bits against sign bits (`bit_query`).

Requires only NumPy. Temporary memory is a few MB for inputs of any size, unless a docstring says
otherwise.
"""

from qadapt.codecs.bitquery import BitQuery, bit_query, hamming
from qadapt.codecs.bits import pack_bits, pad_words, to_signed, to_unsigned, unpack_signs
from qadapt.codecs.calibration import Calibration, CalibrationWarning
from qadapt.codecs.codebook import Codebook
from qadapt.codecs.folded import FoldedQuery, fold
from qadapt.codecs.ints import dequantize
from qadapt.codecs.precisions import PRECISIONS, Precision, quantize

__all__ = [
    "PRECISIONS",
    "BitQuery",
    "Calibration",
    "CalibrationWarning",
    "Codebook",
    "FoldedQuery",
    "Precision",
    "bit_query",
    "dequantize",
    "fold",
    "hamming",
    "pack_bits",
    "pad_words",
    "quantize",
    "to_signed",
    "to_unsigned",
    "unpack_signs",
]
