"""Almost valid text and objects, and the permitted results of any input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from qadapt.errors import QadaptError


def only_ours(call: Callable[[], Any]) -> Any:
    """The value, or the QadaptError; anything else that is raised fails the test."""
    try:
        return call()
    except QadaptError as error:
        assert error.message
        assert error.message in str(error)
        return error


_TOKENS = (
    *("binary", "scalar", "product", "rotational", "none", "float16", "recall", "bits", "ratio"),
    *("query_bits", "rescore", "native", "segments", "centroids", "quantile", "per", "codes"),
    *("candidates", "candidates=200", "@codes", "dims"),
    *(":", "=", ",", "@", ">=", "%", ".", "#", "?", "&", "/", "//", "+", "-", "[", "]", "{", "}"),
    *('"', "'", "\\", "\n", " ", "\t", "&a", "*a", "<<", "!!int", "!!set", "|", ">", "- "),
    *("0", "1", "4", "8", "10", "0.95", "1.5", "nan", "inf", "-1", "1e400", "1e-7", "9" * 5000),
    *("off", "on", "null", "true", "~", "2001-13-45", ".nan", "0x1", "1:99", "ram", "originals"),
    *("qdrant", "edge", "milvus", "http", "https", "grpc", "localhost", ":memory:", "[::1]"),
    *("api_key", "key_env", "store", "stores", "collections", "vectors", "quantization", "guard"),
    *("%", "%41", "%ff", "\0", "\ud800", "é", "٣", "\x85"),
)
near_text = st.text(max_size=40) | st.lists(
    st.sampled_from(_TOKENS) | st.text(max_size=3), max_size=14
).map("".join)

_KEYS = (
    *("kind", "bits", "quantile", "per", "query_bits", "ratio", "segments", "centroids"),
    *("rescore", "codes", "originals", "native", "oversampling", "source", "any", "all", "not"),
    *("gt", "gte", "lt", "lte", "topic", "a.b", "", ".", "a[]", "id", "steps", "format"),
    *("store", "stores", "collections", "vectors", "quantization", "guard", "recall@10", "k"),
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(_TOKENS)
    | st.sampled_from([10**400, -(10**400), "2024-05-01", "2024-05-01T10:00:00Z", "edge:x"])
    | st.text(max_size=5)
)
near_objects: st.SearchStrategy[Any] = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
