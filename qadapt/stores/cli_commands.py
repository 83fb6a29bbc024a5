"""Command lines for the fixes of findings."""

from __future__ import annotations

import shlex

from qadapt.model import CollectionInfo, Quantization
from qadapt.model.address import Address


def command(
    verb: str,
    address: Address,
    info: CollectionInfo,
    vector: str,
    quantization: Quantization | None = None,
) -> str:
    """``qadapt VERB URL COLLECTION [QUANTIZATION] [--vector NAME]``, keys masked."""
    words = ["qadapt", verb, str(address), info.name]
    words += [] if quantization is None else [str(quantization)]
    words += ["--vector", vector] if vector else []
    return shlex.join(words)
