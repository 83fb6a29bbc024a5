"""Statements of an application without qadapt, and common sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model.address import Address
from qadapt.stores.clickhouse.connection import Connection, open_address
from qadapt.stores.clickhouse.native_format import Given

ROWS, DIM = 1200, 32
WIDE = "SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0"


class Raw:
    """A connection to a database; ``{t}`` in a statement is the database and a dot."""

    def __init__(self, address: str) -> None:
        parsed = Address.parse(address)
        opened = open_address(parsed)
        opened.close()  # the engine of the process stays open for the store
        self._address = parsed
        self.database = opened.database

    def _open(self) -> Connection:
        return open_address(self._address)

    def run(self, text: str) -> None:
        connection = self._open()
        try:
            connection.execute(text.replace("{t}", f"{self.database}."), "run a statement")
        finally:
            connection.close()

    def rows(self, text: str, query: Any = None) -> list[tuple[Any, ...]]:
        connection = self._open()
        given = {} if query is None else {"q": np.asarray(query).tolist()}
        try:
            text = text.replace("{t}", f"{self.database}.")
            return connection.rows(text, "run a statement", given)
        finally:
            connection.close()

    def insert(self, table: str, rows: npt.NDArray[np.float32], first: int = 0) -> None:
        """Insert vectors ``v`` with ids from ``first``."""
        connection = self._open()
        ids = np.arange(first, first + len(rows))
        try:
            connection.insert(
                f"INSERT INTO {self.database}.{table} (id, v)",
                "insert",
                [Given("id", "Int64", ids), Given("v", "Array(Float32)", rows)],
            )
        finally:
            connection.close()

    def vectors(self, table: str) -> npt.NDArray[np.float32]:
        """All vectors by id."""
        connection = self._open()
        try:
            found = connection.select(f"SELECT v FROM {self.database}.{table} ORDER BY id", "read")
            values = found["v"].values
            return values.reshape(len(found["v"].ends), -1)
        finally:
            connection.close()


def nearest(rows: Any, query: Any, metric: str, k: int = 10) -> list[int]:
    """The ids of the best rows by numpy."""
    wide, asked = np.asarray(rows, np.float64), np.asarray(query, np.float64)
    if metric == "cosine":
        scores = wide @ asked / np.linalg.norm(wide, axis=1)
    elif metric == "dot":
        scores = wide @ asked
    else:
        scores = -((wide - asked) ** 2).sum(axis=1)
    return np.argsort(-scores, kind="stable")[:k].tolist()


def recall(found: Any, truth: Any) -> float:
    """The mean share of true neighbors among the results."""
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]
    return float(np.mean(shares))
