"""The folder of collections: creation, listing, deletion, threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_helpers import Texts, carry_out, fill, plan, same_rows, state
from embeddings import DIM

from qadapt.errors import (
    AddressError,
    AlreadyExistsError,
    DimensionError,
    InputError,
    IntegrityError,
    NotFoundError,
    QadaptError,
    SpecError,
    StoreError,
    UnsupportedError,
)
from qadapt.model import FEATURES, Batch, Quantization, State, Support, Vector, binary
from qadapt.model.address import Address
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.edge.errors import translate
from qadapt.stores.qdrant.edge.profile import RULES
from qadapt.stores.qdrant.edge.store import EdgeStore
from qadapt.stores.qdrant.edge.version import too_old


def test_importing_the_store_imports_no_engine() -> None:
    code = "import sys, qadapt.stores.qdrant.edge.store; sys.exit('qdrant_edge' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_does_not_exist(store: EdgeStore) -> None:
    folder = store.address.path
    assert store.collections() == []
    assert not folder.exists()
    with pytest.raises(NotFoundError):
        store.info("c")
    store.create("c", {"": Vector(4)}, {})
    assert store.collections() == ["c"]
    assert [path.name for path in folder.iterdir()] == ["c"]


def test_file_as_folder_is_rejected(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    (tmp_path / "file").write_text("")
    with pytest.raises(AddressError, match="is a file"):
        EdgeStore.open(Address("edge", None, str(tmp_path / "file")))


def test_collections_are_created_listed_and_dropped(store: EdgeStore) -> None:
    for name in ("b", "a", "Ä b"):
        store.create(name, {"": Vector(4)}, {})
    assert store.collections() == ["a", "b", "Ä b"]
    with pytest.raises(AlreadyExistsError):
        store.create("a", {"": Vector(4)}, {})
    store.write("b", Batch([1], {"": [[1, 2, 3, 4]]}))
    store.drop("b")
    assert store.collections() == ["a", "Ä b"]
    with pytest.raises(NotFoundError, match="collection 'b' does not exist"):
        store.drop("b")
    assert sorted(path.name for path in store.address.path.iterdir()) == ["a", "Ä b"]
    store.create("b", {"": Vector(4)}, {})
    assert store.count("b") == 0


@pytest.mark.parametrize("name", ["", ".", "..", ".c", "a/b", "a\\b", "a\0", "a\n", "x" * 201, 7])
def test_invalid_collection_names_are_rejected(store: EdgeStore, name: Any) -> None:
    with pytest.raises(InputError, match="is not a valid collection name"):
        store.create(name, {"": Vector(4)}, {})
    with pytest.raises(InputError):
        store.info(name)


def test_other_folders_are_ignored(store: EdgeStore) -> None:
    store.create("c", {"": Vector(4)}, {})
    (store.address.path / "photos").mkdir()
    (store.address.path / "notes.txt").write_text("")
    assert store.collections() == ["c"]
    with pytest.raises(IntegrityError, match="is not a collection"):
        store.info("photos")
    with pytest.raises(NotFoundError):
        store.info("notes.txt")
    for name in ("photos", "notes.txt"):
        with pytest.raises(AlreadyExistsError):
            store.create(name, {"": Vector(4)}, {})


def test_failed_creation_leaves_nothing(store: EdgeStore) -> None:
    with pytest.raises(UnsupportedError):
        store.create("c", {"": Vector(4)}, {"": Quantization.parse("scalar:bits=4")})
    with pytest.raises(StoreError, match="did not store"):
        store.create("c", {"": Vector(4)}, {"": binary(native={"hologram": 1})})
    with pytest.raises(NotFoundError):
        store.create("c", {"": Vector(4)}, {"title": binary()})
    with pytest.raises(InputError):
        store.create("c", {}, {})
    assert store.collections() == []
    left = list(store.address.path.iterdir()) if store.address.path.exists() else []
    assert left == []


def test_creation_with_quantization_and_placement(store: EdgeStore, texts: Texts) -> None:
    asked = Quantization.parse("rotational:bits=2,codes=disk,originals=disk")
    store.create("c", {"": Vector(DIM, "dot")}, {"": asked})  # type: ignore[arg-type]
    assert store.info("c").vectors[""].quantization == asked
    batch = Batch(texts.batch.ids, {"": texts.docs}, texts.batch.payloads)
    store.write("c", batch)
    assert state(store) is State.BUILDING
    carry_out(store, plan(store, asked))
    assert state(store) is State.ACTIVE
    same_rows(store, batch)
    store.close()
    again = EdgeStore.open(store.address)
    assert again.info("c").vectors[""].status.state is State.ACTIVE
    same_rows(again, batch)
    again.close()


def test_capabilities() -> None:
    caps = EdgeStore.profile.declared_capabilities()
    assert set(FEATURES) <= set(caps.features)
    assert all(rule.support is Support.NATIVE and rule.reason for rule in RULES)
    older = EdgeStore(Address("edge", None, "x"), disabled=["native-quantization"]).capabilities()
    assert not older.native("native-rescore")
    with pytest.raises(SpecError):
        EdgeStore(Address("edge", None, "x"), disabled=["native-magic"])
    assert caps.version is None
    assert caps.deployment == "embedded"


def test_threads_share_a_store_while_it_rebuilds(store: EdgeStore, texts: Texts) -> None:
    from qadapt.stores.base import SearchRequest

    fill(store, texts.batch)
    steps = plan(store, "binary")
    errors: list[QadaptError] = []
    found: list[int] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                hits = store.search("c", texts.queries[:5], SearchRequest(k=10, exact=True))
                found.append(int((hits.ids == texts.truth[:5]).sum()))
        except QadaptError as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    carry_out(store, steps)
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    # pytest reports other exceptions in threads as errors.
    assert set(found) == {50}
    assert state(store) is State.ACTIVE


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Service runtime error: failed to open WAL: Kind(WouldBlock)", "BusyError"),
        ("Not existing vector name error: x", "NotFoundError"),
        ("IO Error: Failed to deserialize edge_config.json", "IntegrityError"),
        ("no space left on device", "StoreError"),
    ],
)
def test_engine_messages_are_translated(words: str, error: str) -> None:
    found = translate(words, "do it")
    assert type(found).__name__ == error
    assert "do it" in found.message
    wrong = translate("Vector dimension error: expected dim: 4, got 3", "x")
    assert isinstance(wrong, DimensionError)
    assert (wrong.expected, wrong.got) == (4, 3)


def test_many_rows_are_deleted(store: EdgeStore) -> None:
    rows = np.random.default_rng(0).standard_normal((25_000, 2))
    fill(store, Batch(list(range(25_000)), {"": rows}))
    store.delete("c", list(range(24_999)))
    assert store.count("c") == 1


# -- versions ------------------------------------------------------------------------------------


def test_old_version_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.5 and older have another API: an AttributeError."""
    address = Address.parse(f"edge:{tmp_path}")
    for version, opens in (("0.5.0", False), ("0.6.0", True), ("0.10.0", True), (None, True)):
        monkeypatch.setattr(
            "qadapt.stores.qdrant.edge.store.version", lambda reported=version: reported
        )
        if opens:
            EdgeStore.open(address).close()
            continue
        with pytest.raises(
            UnsupportedError, match=r"qdrant-edge-py 0\.5\.0 .* requires 0\.6"
        ) as caught:
            EdgeStore.open(address)
        assert "pip install" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("version", "missing"),
    [("0.6.1", {"1", "1.5", "2", "4", "8"}), ("0.7.0", {"8"}), ("0.8.0", {"8"}), ("0.9.0", set())],
)
def test_kinds_of_older_versions(version: str, missing: set[str]) -> None:
    """As found by running the conformance suite on each."""
    can = EdgeStore.profile.declared_capabilities(version)
    for bits in ("1", "1.5", "2", "4", "8"):
        refused = too_old(Quantization.parse(f"rotational:bits={bits}"), version)
        assert (refused is not None) == (bits in missing) != can.native(f"native-rotational:{bits}")
    assert too_old(Quantization.parse("binary:bits=2"), version) is None


def test_older_versions_get_supported_fields(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.8 silently drops `memory` of a vector and keeps `on_disk`."""
    wanted = Quantization.parse("scalar:codes=ram,originals=disk")
    newest = store.map(wanted, Vector(8)).native
    assert newest is not None and newest["memory"] == "cold"
    monkeypatch.setattr("qadapt.stores.qdrant.edge.store.version", lambda: "0.8.0")
    older = store.map(wanted, Vector(8)).native
    assert older is not None and older["on_disk"] is True and "memory" not in older
    assert older["quantization_config"]["scalar"]["always_ram"] is True


def test_searches_run_one_by_one_without_batch_support(
    store: EdgeStore, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 0.9."""
    fill(store, texts.batch.rows(0, 300))
    search = SearchRequest(k=5, filter={"at": {"lt": 200}}, with_payload=True)
    together = store.search("c", texts.queries[:7], search)
    monkeypatch.delattr("qdrant_edge.QueryBatchRequest")
    alone = store.search("c", texts.queries[:7], search)
    assert alone.ids.tolist() == together.ids.tolist()
    assert np.array_equal(alone.scores, together.scores)
    assert alone.payloads == together.payloads


def test_datatypes_that_edge_does_not_have_are_named_before_a_collection_is_created(
    store: EdgeStore,
) -> None:
    for datatype in ("bit", "int8", "bfloat16"):
        problem = store.unsupported_vectors({"": Vector(8, datatype=datatype)})  # type: ignore[arg-type]
        assert problem is not None and f"not {datatype}" in problem
    assert store.unsupported_vectors({"": Vector(8, datatype="uint8")}) is None
