"""Mapping of ``dims``: all codes apply to the first dimensions, which a store keeps as a vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar, cast

from qadapt.model import Match, Quantization, Vector
from qadapt.stores.store_types import MappedQuantization

Convert = TypeVar("Convert", bound=Callable[..., MappedQuantization])


def by_leading_dims(convert: Convert) -> Convert:
    """Map the quantization without ``dims`` on a vector of that many dimensions."""

    @wraps(convert)
    def mapped(
        quantization: Quantization, vector: Vector, *args: Any, **more: Any
    ) -> MappedQuantization:
        dims = quantization.dims
        if dims is None:
            return convert(quantization, vector, *args, **more)
        if dims > vector.dim:
            return MappedQuantization(None, quantization, too_many(dims, vector.dim))
        narrow = vector.replace(dim=dims)
        found = convert(quantization.without_dims, narrow, *args, **more)
        return replace(found, target=found.target.replace(dims=dims))

    return cast(Convert, mapped)


def too_many(dims: int, dim: int) -> Match:
    """The match of more dimensions than the vectors have."""
    return Match.unsupported(
        f"dims={dims} keeps more dimensions than the vectors have ({dim})",
        f"dims of at most {dim}, or write vectors with more dimensions",
    )
