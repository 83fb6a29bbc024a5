"""Vectors and ids from other libraries."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from qadapt.errors import InputError
from qadapt.model import Batch, as_vectors
from qadapt.model.array_input import plain_array, plain_ids

ROWS = [[0.5, 1.0, -2.0], [3.0, 4.0, 5.5]]


class Tensor:
    """The methods of a torch tensor that are used; torch is not in the test environment."""

    def __init__(self, values: Any, dtype: str = "torch.float32") -> None:
        self.values, self.dtype = np.array(values, np.float32), dtype

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return Tensor(self.values)

    def numpy(self) -> Any:
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values


class PolarsType:
    """A polars type of lists; that of fixed widths also has a shape."""

    inner = "Float32"


class PolarsSeries:
    """The methods of a polars series that are used (checked with polars 2.1.0).

    polars is not in the test environment. Its ``to_arrow`` fails without pyarrow.
    """

    dtype = PolarsType()

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def list(self) -> PolarsSeries:
        return self

    def len(self) -> Any:
        return np.array([len(row) for row in self.rows])

    def null_count(self) -> int:
        return sum(row is None for row in self.rows)

    def is_null(self) -> Any:
        return pd.Series([row is None for row in self.rows])

    def explode(self) -> PolarsSeries:
        return PolarsSeries([value for row in self.rows for value in row])

    def to_numpy(self) -> Any:
        return np.array(self.rows, dtype=np.float32)

    def to_frame(self) -> Any:
        raise NotImplementedError

    def to_arrow(self) -> Any:
        raise ModuleNotFoundError("No module named 'pyarrow'")


@pytest.mark.parametrize(
    "make",
    [
        list,
        lambda rows: tuple(map(tuple, rows)),
        lambda rows: [np.array(row) for row in rows],
        np.float16,
        lambda rows: np.array([np.array(row) for row in rows] + [None], dtype=object)[:2],
        pd.DataFrame,
        pd.Series,
        lambda rows: pd.Series([np.array(row) for row in rows]),
        lambda rows: pd.DataFrame({"vector": rows})["vector"],
        lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(pa.list_(pa.float32()))),
        pa.array,
        lambda rows: pa.array(rows, pa.list_(pa.float32(), 3)),
        lambda rows: pa.array([[9.0] * 3, *rows], pa.list_(pa.float32(), 3))[1:],
        lambda rows: pa.chunked_array([rows[:1], rows[1:]]),
        lambda rows: pa.table({"vector": rows})["vector"],
        lambda rows: pa.table(
            {str(at): column for at, column in enumerate(zip(*rows, strict=True))}
        ),
        lambda rows: pd.DataFrame({"vector": rows}),
        PolarsSeries,
        Tensor,
        lambda rows: Tensor(rows, "torch.bfloat16"),
        lambda rows: [Tensor(row) for row in rows],
    ],
)
def test_vectors_of_every_common_library_are_read(make: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(as_vectors(make(ROWS)), np.array(ROWS, np.float32))


@pytest.mark.parametrize("make", [pd.Series, pa.array, lambda row: Tensor(row)])
def test_one_vector_of_every_common_library_is_read(make: Callable[[Any], Any]) -> None:
    assert as_vectors(make(ROWS[0])).tolist() == [ROWS[0]]


@pytest.mark.parametrize("make", [list, pd.Series, pa.array, PolarsSeries])
def test_rows_of_different_length_are_refused(make: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="rows of equal length"):
        as_vectors(make([[1.0, 2.0], [3.0]]))


def test_null_rows_are_refused_by_row() -> None:
    with pytest.raises(InputError, match="row 1 is null"):
        plain_array(pa.array([[1.0], None]))
    with pytest.raises(InputError, match="row 1 is null"):
        plain_array(PolarsSeries([[1.0], None]))
    for make in (pa.array, PolarsSeries):
        with pytest.raises(InputError, match="must not contain nulls"):
            plain_array(make([[1.0], [None]]))


@pytest.mark.parametrize(
    "ids",
    [
        [np.int64(1), np.uint8(2)],
        np.array([1, 2], np.uint64),
        pd.Series([1, 2]),
        pd.Index([1, 2]),
        pa.array([1, 2]),
        pa.chunked_array([[1], [2]]),
        range(1, 3),
        (each for each in (1, 2)),
    ],
)
def test_integer_ids_of_every_common_library_are_read(ids: Any) -> None:
    found = plain_ids(ids)
    assert found == [1, 2]
    assert {type(key) for key in found} == {int}


def test_uuids_become_strings() -> None:
    key = uuid.uuid4()
    assert Batch([key, np.str_("a")], {"": [[1.0], [2.0]]}).ids == [str(key), "a"]


@pytest.mark.parametrize("wrong", [1.0, True, None, b"a", np.float32(1)])
def test_other_ids_are_refused_with_a_hint(wrong: Any) -> None:
    with pytest.raises(InputError, match="ids must be int or str") as caught:
        Batch([wrong], {"": [[1.0]]})
    assert "int() or str()" in (caught.value.hint or "")
