"""What Qdrant's engine in this process can do: data only."""

from __future__ import annotations

from qadapt.model import Rule, Support

_NATIVE = Support.NATIVE
_RUN = "run on qdrant-edge-py 0.9.0"

RULES: tuple[Rule, ...] = (
    Rule("native-quantization", _NATIVE, "codes beside the originals, in each segment"),
    Rule("native-rescore", _NATIVE, "by the originals, for each search"),
    Rule("native-oversampling", _NATIVE, "for each search, in each segment"),
    Rule(
        "native-undo",
        _NATIVE,
        "rebuilt without codes after an edit of edge_config.json; its API alone cannot",
    ),
    Rule("native-filter", _NATIVE, "while it searches, also with codes"),
    Rule("named-vectors", _NATIVE, "each with a quantization of its own"),
    Rule("native-scalar", _NATIVE, "one range for the whole collection", since="0.9"),
    Rule("native-scalar:7", _NATIVE, _RUN, since="0.9"),
    Rule("native-scalar:8", _NATIVE, "really 7 bits: codes are clamped to 0..127", since="0.9"),
    Rule("native-product", _NATIVE, "256 centroids, k-means over up to 10,000 rows", since="0.9"),
    Rule("native-product:4", _NATIVE, _RUN, since="0.9"),
    Rule("native-product:8", _NATIVE, _RUN, since="0.9"),
    Rule("native-product:16", _NATIVE, _RUN, since="0.9"),
    Rule("native-product:32", _NATIVE, _RUN, since="0.9"),
    Rule("native-product:64", _NATIVE, _RUN, since="0.9"),
    Rule("native-binary", _NATIVE, "also in segments without an index", since="0.9"),
    Rule("native-binary:1", _NATIVE, _RUN, since="0.9"),
    Rule("native-binary:1.5", _NATIVE, _RUN, since="0.9"),
    Rule("native-binary:2", _NATIVE, _RUN, since="0.9"),
    Rule("native-rotational", _NATIVE, "TurboQuant, also without an index", since="0.9"),
    Rule("native-rotational:1", _NATIVE, _RUN, since="0.9"),
    Rule("native-rotational:1.5", _NATIVE, _RUN, since="0.9"),
    Rule("native-rotational:2", _NATIVE, _RUN, since="0.9"),
    Rule("native-rotational:4", _NATIVE, _RUN, since="0.9"),
    Rule("native-rotational:8", _NATIVE, "needs the engine of Qdrant 1.20", since="0.9"),
    Rule("native-float16", _NATIVE, "as the datatype, fixed when the collection is created"),
)
