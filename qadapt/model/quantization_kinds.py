"""Constructors of the quantizations: ``qa.none()`` to ``qa.product()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from qadapt.model.quantization import Quantization
from qadapt.model.quantization_options import CodesPlace, Kind, OriginalsPlace, Place
from qadapt.model.rescore import Rescore, RescoreLike


def none(
    *, dims: int | None = None, rescore: RescoreLike = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """No quantization: the stored vectors are searched.

    Args:
        dims: keep the first dimensions only; None keeps all.
        rescore: must be ``None`` or ``"off"``, because there are no codes to rescore.
        originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    return _made(Kind.NONE, rescore, None, originals, native, dims=dims)


def float16(
    *, dims: int | None = None, rescore: RescoreLike = None, codes: CodesPlace | None = None,
    originals: Place | None = None, native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """16-bit floating point: half the size of float32.

    Args:
        dims: keep the first dimensions only; None keeps all.
        rescore: oversampling factor, ``"candidates=200"``, ``"off"``, or a ``Rescore``.
        codes: ``"ram"``, ``"cached"`` or ``"disk"``.
        originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    return _made(Kind.FLOAT16, rescore, codes, originals, native, dims=dims)


def scalar(
    bits: float = 8, *, quantile: float | None = None,
    per: Literal["collection", "dimension"] | None = None, dims: int | None = None,
    rescore: RescoreLike = None, codes: CodesPlace | None = None,
    originals: OriginalsPlace | None = None, native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Scalar quantization: each dimension becomes a small integer on a linear scale.

    Args:
        bits: 4, 6, 7 or 8 bits per dimension.
        quantile: share of the values that the range covers, 0.5 to 1; None covers all.
        per: one range for the ``"collection"`` or one for each ``"dimension"``.
        dims: keep the first dimensions only; None keeps all.
        rescore: oversampling factor, ``"candidates=200"``, ``"off"``, or a ``Rescore``.
        codes: ``"ram"``, ``"cached"`` or ``"disk"``.
        originals: ``"ram"``, ``"disk"``, or ``"none"`` to keep codes only.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "quantile": quantile, "per": per, "dims": dims}
    return _made(Kind.SCALAR, rescore, codes, originals, native, **options)


def rotational(
    bits: float = 4, *, query_bits: int | None = None, dims: int | None = None,
    rescore: RescoreLike = None, codes: CodesPlace | None = None,
    originals: OriginalsPlace | None = None, native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Rotational quantization: a random rotation, then a few bits per dimension.

    Implemented by Qdrant (TurboQuant), Weaviate (RQ) and Milvus (RaBitQ).

    Args:
        bits: 1, 1.5 or 2 to 9 bits per dimension.
        query_bits: bits per dimension of the query, 1 to 8 or 32; None is the default of the
            database.
        dims: keep the first dimensions only; None keeps all.
        rescore: oversampling factor, ``"candidates=200"``, ``"off"``, or a ``Rescore``.
        codes: ``"ram"``, ``"cached"`` or ``"disk"``.
        originals: ``"ram"``, ``"disk"``, or ``"none"`` to keep codes only.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "query_bits": query_bits, "dims": dims}
    return _made(Kind.ROTATIONAL, rescore, codes, originals, native, **options)


def binary(
    bits: float = 1, *, query_bits: int | None = None, dims: int | None = None,
    rescore: RescoreLike = None, codes: CodesPlace | None = None,
    originals: OriginalsPlace | None = None, native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Binary quantization: the sign of each dimension.

    Args:
        bits: 1, or 1.5 and 2 for the wider encodings of Qdrant.
        query_bits: bits per dimension of the query: 1, 4, 8 or 32; None is the default of the
            database.
        dims: keep the first dimensions only; None keeps all.
        rescore: oversampling factor, ``"candidates=200"``, ``"off"``, or a ``Rescore``.
        codes: ``"ram"``, ``"cached"`` or ``"disk"``.
        originals: ``"ram"``, ``"disk"``, or ``"none"`` to keep codes only.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "query_bits": query_bits, "dims": dims}
    return _made(Kind.BINARY, rescore, codes, originals, native, **options)


def product(
    ratio: float | None = None, *, segments: int | None = None, centroids: int | None = None,
    dims: int | None = None, rescore: RescoreLike = None, codes: CodesPlace | None = None,
    originals: OriginalsPlace | None = None, native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Product quantization: groups of dimensions are replaced by their nearest centroid.

    Args:
        ratio: compression relative to float32, 2 to 256; 16 if ``segments`` is not given.
        segments: number of groups, instead of ``ratio``.
        centroids: number of centroids per group; None is the default of the database.
        dims: keep the first dimensions only; None keeps all.
        rescore: oversampling factor, ``"candidates=200"``, ``"off"``, or a ``Rescore``.
        codes: ``"ram"``, ``"cached"`` or ``"disk"``.
        originals: ``"ram"``, ``"disk"``, or ``"none"`` to keep codes only.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value, or both ``ratio`` and ``segments`` are given.
    """
    options = {"ratio": ratio, "segments": segments, "centroids": centroids, "dims": dims}
    return _made(Kind.PRODUCT, rescore, codes, originals, native, **options)


def _made(
    kind: Kind, rescore: RescoreLike, codes: CodesPlace | None, originals: OriginalsPlace | None,
    native: Mapping[str, Any] | None, **options: Any,
) -> Quantization:  # fmt: skip
    return Quantization(
        kind,
        rescore=Rescore.of(rescore),
        codes=codes,
        originals=originals,
        native={} if native is None else native,
        **options,
    )
