"""In-place changes planned from the server's responses, and their undo."""

from __future__ import annotations

import pytest
from qdrant_helpers import (
    BINARY,
    PATH,
    SCALAR,
    TELEMETRY,
    UNNAMED,
    Replay,
    info_of,
    ok,
    recording,
    refused,
    serve,
    telemetry_of,
)

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import ApplyError, UnsupportedError
from qadapt.model import State
from qadapt.stores.change import ChangeRequest


def test_the_plan_lowers_the_threshold_in_the_same_patch_and_restores_it() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    server = serve(info_of(UNNAMED), seen)
    store = server.store()
    (step,) = store.plan_change(
        ChangeRequest(store.inspect("articles"), "", qa.scalar(bits=7))
    ).steps
    assert step.request["body"] == {
        "quantization_config": SCALAR,
        "optimizers_config": {"indexing_threshold": 750},
    }
    assert step.reverse is not None
    assert step.reverse["body"] == {
        "quantization_config": "Disabled",
        "optimizers_config": {"indexing_threshold": 1000},
    }
    assert "lowered to 750 KB" in step.reason


def test_an_unset_threshold_is_restored_as_the_servers_default() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    store = serve(info_of(UNNAMED, threshold=None), seen).store()
    (step,) = store.plan_change(
        ChangeRequest(store.inspect("articles"), "", qa.scalar(bits=7))
    ).steps
    assert step.reverse is not None
    assert step.reverse["body"]["optimizers_config"] == {"indexing_threshold": 10_000}


def test_placement_of_originals_is_patched_and_restored() -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", None)}])
    store = serve(info_of(UNNAMED), seen).store()
    (step,) = store.plan_change(
        ChangeRequest(store.inspect("articles"), "", qa.binary(codes="ram", originals="disk"))
    ).steps
    assert step.request["body"] == {
        "quantization_config": {"binary": {"always_ram": True}},
        "vectors": {"": {"on_disk": True}},
    }
    assert step.reverse is not None
    assert step.reverse["body"]["vectors"] == {"": {"on_disk": False}}


def test_quantization_of_a_vector_is_changed_in_the_vector() -> None:
    """patch/unnamed_vector_key: the unnamed vector can also have a separate setting."""
    own = {**UNNAMED, "quantization_config": SCALAR}
    seen = telemetry_of("articles", [{"": (2000, "hnsw", SCALAR)}])
    store = serve(info_of(own), seen).store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.none())).steps
    sent = recording("patch/unnamed_vector_key_disabled")["request"]["body"]
    assert step.request["body"] == sent
    assert step.reverse is not None
    assert step.reverse["body"] == recording("patch/unnamed_vector_key")["request"]["body"]
    both = serve(info_of(own, BINARY), seen).store()
    (step,) = both.plan_change(ChangeRequest(both.inspect("articles"), "", qa.none())).steps
    assert step.request["body"] == {"quantization_config": "Disabled", **sent}


def test_an_ignored_setting_fails_the_change_with_a_hint() -> None:
    """Fewer than 1 KB of vectors: nothing can lower the threshold further."""
    tiny = telemetry_of("articles", [{"": (1, "plain", None)}])
    server = serve(info_of(UNNAMED), tiny, count=1)
    with pytest.raises(UnsupportedError, match="1 KB"):
        Database(server.store())["articles"].plan("scalar")
    held = telemetry_of("articles", [{"": (2000, "plain", None)}])
    server = serve(info_of(UNNAMED), None)
    server.on("GET", TELEMETRY, refused(403, "no"))
    articles = Database(server.store())["articles"]
    plan = articles.plan("scalar")
    server.on("GET", PATH, *[ok(info_of(UNNAMED))] * 2, ok(info_of(UNNAMED, SCALAR)))
    server.on("GET", TELEMETRY, refused(403, "no"), ok(held))
    with pytest.raises(ApplyError, match="ignores"):
        plan.apply(yes=True)


def test_apply_without_telemetry_ends_unknown_and_not_active() -> None:
    server = serve(info_of(UNNAMED)).on("GET", TELEMETRY, refused(403, "Forbidden"))
    plain, binary = ok(info_of(UNNAMED)), ok(info_of(UNNAMED, BINARY))
    articles = Database(server.store())["articles"]
    plan = articles.plan("binary")
    server.on("GET", PATH, plain, plain, binary)
    change = plan.apply(yes=True)
    assert change.status is not None
    assert change.status.state is State.UNKNOWN
    assert server.bodies("PATCH", PATH) == [{"quantization_config": BINARY}]


def test_unknown_fields_are_rejected_for_known_versions_only() -> None:
    wanted = qa.binary(native={"foo": 1})
    for version, refused_ in (("1.16.3", True), ("1.20.4", True), ("1.21.0", False)):
        mapped = Replay(version).store().map(wanted, qa.Vector(8))
        assert (mapped.native is None) is refused_, version


def test_a_plan_reads_the_collection_once() -> None:
    server = serve(info_of(UNNAMED), telemetry_of("articles", [{"": (2000, "hnsw", None)}]))
    articles = Database(server.store())["articles"]
    server.sent.clear()
    assert articles.plan("scalar:bits=7").changes
    read = [path for method, path, _ in server.sent if method == "GET"]
    assert "/collections/articles" in read
    assert len(read) == len(set(read)), read
