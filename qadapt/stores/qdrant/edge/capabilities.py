"""The features of the embedded Qdrant engine; data only."""

from __future__ import annotations

from qadapt.model import Kind, Match, Quantization, Rule, Support
from qadapt.model.capabilities import older

_NATIVE, _NO = Support.NATIVE, Support.UNSUPPORTED
_RUN = "verified on qdrant-edge-py 0.6 to 0.9"
_TURBO = "verified on qdrant-edge-py 0.7 to 0.9"
# The oldest version that can create a collection and build codes; 0.5 has another API.
OLDEST = "0.6"
# The server version whose configuration format each version accepts, by the first version: 0.8
# accepts `memory` for codes but drops it for a vector, so it gets the older fields.
_SERVERS = {"0.9": None, "0.7": "1.18", OLDEST: "1.17"}


def server_version(version: str | None) -> str | None:
    """The server version with the same configuration format; None for the newest."""
    if version is None:
        return None
    known = (first for first in _SERVERS if not older(version, first))
    return _SERVERS[next(known, OLDEST)]


RULES: tuple[Rule, ...] = (
    Rule(
        "native-quantization", _NATIVE, "codes in addition to the original vectors, in each segment"
    ),
    Rule("native-rescore", _NATIVE, "with the original vectors, per search"),
    Rule("native-oversampling", _NATIVE, "per search, in each segment"),
    Rule(
        "native-undo",
        _NATIVE,
        "by a rebuild without codes after an edit of edge_config.json; the engine's API cannot "
        "remove codes",
    ),
    Rule("native-filter", _NATIVE, "during the search, also with codes"),
    Rule("named-vectors", _NATIVE, "each with its own quantization"),
    Rule("native-scalar", _NATIVE, "one range for the whole collection"),
    Rule("native-scalar:7", _NATIVE, _RUN),
    Rule("native-scalar:8", _NATIVE, "7 bits in effect: codes are clamped to 0..127"),
    Rule("native-product", _NATIVE, "256 centroids, k-means over up to 10,000 rows"),
    Rule("native-product:4", _NATIVE, _RUN),
    Rule("native-product:8", _NATIVE, _RUN),
    Rule("native-product:16", _NATIVE, _RUN),
    Rule("native-product:32", _NATIVE, _RUN),
    Rule("native-product:64", _NATIVE, _RUN),
    Rule("native-binary", _NATIVE, "also in segments without an index"),
    Rule("native-binary:1", _NATIVE, _RUN),
    Rule("native-binary:1.5", _NATIVE, _RUN),
    Rule("native-binary:2", _NATIVE, _RUN),
    Rule(
        "native-rotational",
        _NATIVE,
        "TurboQuant, also without an index",
        since="0.7",
        otherwise=_NO,
    ),
    Rule("native-rotational:1", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:1.5", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:2", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:4", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule(
        "native-rotational:8",
        _NATIVE,
        "requires the engine of Qdrant 1.20",
        since="0.9",
        otherwise=_NO,
    ),
    Rule("native-float16", _NATIVE, "as the datatype, which is fixed at creation"),
)


def too_old(quantization: Quantization, version: str | None) -> Match | None:
    """Why a version of qdrant-edge-py does not build this quantization; None if it does."""
    if quantization.kind is not Kind.ROTATIONAL or version is None:
        return None
    feature = f"native-{quantization.kind.value}:{quantization.bits or 4:g}"
    since = next((rule.since for rule in RULES if rule.feature == feature), None)
    if since is None or not older(version, since):
        return None
    return Match.unsupported(
        f"{quantization} requires qdrant-edge-py {since}; installed: {version}",
        f"qdrant-edge-py {since}",
    )
