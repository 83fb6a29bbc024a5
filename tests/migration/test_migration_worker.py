"""The stages of a copy without a store: prefetching, batch sizes, and encoding of rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from qadapt.migration.plan import FIELDS, NORMS
from qadapt.migration.row_codec import RowCodec, decode
from qadapt.migration.worker import prefetch
from qadapt.migration.writer import MIN_ROWS, BatchSizer
from qadapt.model import Batch, Metric, Vector
from qadapt.model.address_form import AddressForm
from qadapt.stores.base import PayloadFidelity, Store
from qadapt.stores.profile import StoreProfile, Traits

# -- prefetching ---------------------------------------------------------------------------------


def test_one_item_is_read_while_one_is_in_use_and_no_more() -> None:
    read: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for item in range(5):
            read.append(item)
            if item == 1:
                second.set()
            yield item

    used = prefetch(items())
    assert next(used) == 0
    assert second.wait(10)
    time.sleep(0.02)
    assert read == [0, 1]
    assert list(used) == [1, 2, 3, 4]


def test_an_exception_of_the_reader_is_raised_in_the_consumer() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    used = prefetch(items())
    assert next(used) == 1
    with pytest.raises(KeyError, match="broken"):
        next(used)


def test_closing_ends_the_reading_thread() -> None:
    used = prefetch(iter(range(1000)))
    next(used)
    used.close()
    assert not [each for each in threading.enumerate() if each.name == "qadapt-reader"]


# -- batch sizes ---------------------------------------------------------------------------------


def test_the_batch_size_follows_the_response_times() -> None:
    sizer = BatchSizer(row_bytes=1024, batch_bytes=1 << 20)
    assert sizer.rows == 1024
    sizer.succeeded(1024, 0.01)
    assert sizer.rows == 1280
    sizer.succeeded(1280, 20.0)
    assert sizer.rows == 128
    for _ in range(20):
        sizer.failed()
    assert sizer.rows == MIN_ROWS
    for _ in range(200):
        sizer.succeeded(sizer.rows, 0.01)
    assert sizer.rows == 4096


# -- encoding ------------------------------------------------------------------------------------


class _LimitedStore(Store):
    """A store that takes UUIDs only, drops null and ``vector``, rounds 0.1, and normalizes."""

    profile = StoreProfile(
        interface=1,
        name="limited",
        store="test_migration_worker:_LimitedStore",
        package="",
        distribution="",
        address=AddressForm(local="folder"),
        traits=Traits(normalizes_cosine=True, keeps_payload=False),
    )

    def accepts_id(self, key: object) -> bool:
        return isinstance(key, str) and len(key) == 36

    def payload_fidelity(self, key: str, value: object) -> PayloadFidelity:
        if value == 0.1:
            return "lossy"
        return "not" if value is None or key == "vector" else "exact"


@pytest.fixture
def limited() -> Store:
    """The class without its abstract methods; only three methods are used."""
    made = type("Made", (_LimitedStore,), dict.fromkeys(Store.__abstractmethods__))
    store: Store = object.__new__(made)
    return store


def test_decoding_restores_what_was_encoded(limited: Store) -> None:
    payloads = [{"a": 0.1, "n": None}, {"vector": "mine", FIELDS: "mine too"}]
    batch = Batch([5, "x"], {"": [[3, 4], [0, 2]]}, payloads)
    codec = RowCodec(limited, {"": Vector(2, Metric.COSINE)}, keep_norms=True)
    encoded = codec.encode(batch)
    assert all(len(str(key)) == 36 for key in encoded.ids)
    assert encoded.payloads is not None
    assert all(value is not None for each in encoded.payloads for value in each.values())
    assert "vector" not in encoded.payloads[1]
    assert encoded.payloads[0]["a"] == 0.1  # the rounded value stays, for filters
    assert {FIELDS, NORMS} <= set(encoded.payloads[0])
    stored = Batch(encoded.ids, {"": [[0.6, 0.8], [0, 1]]}, encoded.payloads)
    decoded = decode(stored)
    assert list(decoded.ids) == [5, "x"]
    assert [dict(each) for each in decoded.payloads or ()] == payloads
    np.testing.assert_allclose(decoded.vectors[""], [[3, 4], [0, 2]], rtol=1e-6)
    # For another store that normalizes, lengths are not restored.
    again = codec.decode(stored)
    assert again.vectors[""].tobytes() == stored.vectors[""].tobytes()


def test_a_preserved_payload_is_not_encoded(limited: Store) -> None:
    key = "8acaf496-f7bb-552d-b0b7-23122d391002"
    codec = RowCodec(limited, {"": Vector(2, Metric.DOT)})
    payload = {"a": 1}
    encoded = codec.encode(Batch([key], {"": [[1, 2]]}, [payload]))
    assert encoded.payloads is not None
    assert encoded.payloads[0] is payload


def test_the_partition_is_noted_and_a_field_of_that_name_is_kept(limited: Store) -> None:
    key = "8acaf496-f7bb-552d-b0b7-23122d391002"
    codec = RowCodec(limited, {"": Vector(2, Metric.DOT)})
    batch = Batch([key], {"": [[1, 2]]}, [{"qadapt_partition": "mine"}])
    encoded = codec.encode(batch, partition="red")
    assert encoded.payloads is not None
    assert encoded.payloads[0]["qadapt_partition"] == "red"
    assert [dict(each) for each in codec.decode(encoded).payloads or ()] == [
        {"qadapt_partition": "mine"}
    ]
    unchanged = codec.encode(batch, partition={"other": "red"})
    assert unchanged.payloads == batch.payloads


def test_a_batch_without_reserved_fields_is_not_decoded(limited: Store) -> None:
    batch = Batch([1], {"": [[1, 2]]}, [{"a": 1}])
    assert decode(batch) is batch
