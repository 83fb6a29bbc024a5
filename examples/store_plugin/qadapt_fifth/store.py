"""``fifth:DIR`` and ``fifth+http://HOST``: tables of SQLite as a store of qadapt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qadapt import model as m
from qadapt.engines.exact import unit
from qadapt.model.address import Address
from qadapt.stores import blobs
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.row_status import vector_info
from qadapt.stores.row_store import RowStore
from qadapt_fifth.connection import Files, Http
from qadapt_fifth.profile import INT8, NONE, PROFILE, STEPS, encode


class FifthStore(RowStore):
    """Column ``v0`` holds the first vector, ``c0`` its codes; ``meta`` holds the schema."""

    profile = PROFILE

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        super().__init__(address, disabled=disabled)
        self._db = Http(address) if address.transport else Files(address.path)

    def server(self) -> m.Server:
        return m.Server(self.name, "1.0", "server" if self.address.transport else "embedded")

    def collections(self) -> list[str]:
        return self._db.collections()

    def make(
        self, collection: str, vectors: Mapping[str, m.Vector], codes: Mapping[str, m.Quantization]
    ) -> None:
        schema = [
            {"name": name, "dim": each.dim, "metric": each.metric.value, "clipped": 0,
             "step": 1 / STEPS if codes[name] == INT8 else None}
            for name, each in vectors.items()
        ]  # fmt: skip
        columns = "".join(f", v{at} BLOB, c{at} BLOB" for at in range(len(schema)))
        self._db.run(collection, f"CREATE TABLE rows (id PRIMARY KEY, payload{columns})")
        self._db.run(collection, "CREATE TABLE meta AS SELECT ? AS schema", [[json.dumps(schema)]])

    def remove(self, collection: str) -> None:
        self._db.drop(collection)

    def describe(self, collection: str) -> m.CollectionInfo:
        schema = self._schema(collection)
        columns = "".join(f", count(v{at}), count(c{at})" for at in range(len(schema)))
        count, *counts = self._db.run(collection, f"SELECT count(*){columns} FROM rows")[0]
        vectors = {}
        for each, rows, coded in zip(schema, counts[::2], counts[1::2], strict=True):
            vectors[each["name"]] = vector_info(
                each["name"], m.Vector(each["dim"], m.Metric(each["metric"])),
                NONE if each["step"] is None else INT8, rows, coded,
                {"type": "scan", "clipped": each["clipped"]},
            )  # fmt: skip
        return m.CollectionInfo(collection, count, vectors, self.server(), {"vectors": schema})

    def write_rows(self, collection: str, batch: m.Batch) -> None:
        schema, empty = self._schema(collection), [None] * len(batch)
        columns = [batch.ids, [json.dumps(each) for each in batch.payloads or [{}] * len(batch)]]
        for each in schema:
            rows, missing = batch.vectors.get(each["name"]), batch.missing.get(each["name"])
            columns.append(empty if rows is None else blobs.packed(rows, missing))
            columns.append(empty if rows is None else self._coded(each, rows, missing))
        marks = ", ".join("?" * len(columns))
        found = list(zip(*columns, strict=True))
        self._db.run(collection, f"REPLACE INTO rows VALUES ({marks})", found)
        self._db.run(collection, "UPDATE meta SET schema = ?", [[json.dumps(schema)]])

    def _coded(self, vector: dict[str, Any], rows: np.ndarray, missing: Any = None) -> list[Any]:
        """The column of codes; clipped rows are counted in the schema."""
        if vector["step"] is None:
            return [None] * len(rows)
        rows = _comparable(vector, rows)
        beyond = np.abs(rows) > vector["step"] * (STEPS + 0.5)
        vector["clipped"] += int(beyond.any(axis=1).sum())
        return blobs.packed(encode(rows, vector["step"]), missing)

    def delete_rows(self, collection: str, ids: Sequence[m.Id]) -> None:
        self._db.run(collection, "DELETE FROM rows WHERE id = ?", [[key] for key in ids])

    def ids(
        self, collection: str, after: m.Id | None, limit: int, through: m.Id | None = None
    ) -> list[m.Id]:
        sql = "SELECT id FROM rows WHERE id > ?1 AND (?2 IS NULL OR id <= ?2) ORDER BY id LIMIT ?3"
        found = self._db.run(collection, sql, [[-1 if after is None else after, through, limit]])
        return [key for (key,) in found]

    def rows(
        self, collection: str, ids: Sequence[m.Id], vectors: Sequence[str], *,
        payload: bool, codes: bool = False,
    ) -> m.Batch:  # fmt: skip
        schema = {each["name"]: (at, each) for at, each in enumerate(self._schema(collection))}
        columns = "".join(f", {'c' if codes else 'v'}{schema[name][0]}" for name in vectors)
        sql = f"SELECT rows.id, payload{columns} FROM json_each(?) JOIN rows ON rows.id = value"
        found_rows = self._db.run(collection, sql, [[json.dumps(list(ids))]])
        cells = list(zip(*found_rows, strict=True))
        found, missing = {}, {}
        for place, name in enumerate(vectors, start=2):
            about, column = schema[name][1], cells[place] if cells else ()
            dtype = np.int8 if codes else np.float32
            found[name], missing[name] = blobs.unpacked(column, about["dim"], dtype)
            if codes:
                found[name] = found[name] * np.float32(about["step"])
        payloads = [json.loads(each) for each in cells[1]] if cells and payload else None
        return m.Batch(cells[0] if cells else [], found, payloads, missing)

    def set_codes(
        self, collection: str, vector: str, target: m.Quantization, progress: OnProgress
    ) -> None:
        schema = self._schema(collection)
        at = [each["name"] for each in schema].index(vector)
        most = 0.0
        for _, rows in self.vector_pages(collection, vector) if target == INT8 else ():
            most = max(most, float(np.abs(_comparable(schema[at], rows)).max()))
        step = (most / STEPS or 1.0) if target == INT8 else None
        schema[at] |= {"step": step, "clipped": 0}
        sql, done = f"UPDATE rows SET c{at} = ? WHERE id = ?", 0
        for ids, rows in self.vector_pages(collection, vector):
            codes = self._coded(schema[at], rows)
            self._db.run(collection, sql, list(zip(codes, ids, strict=True)))
            done += len(ids)
            progress(Progress("writing codes", done))
        self._db.run(collection, "UPDATE meta SET schema = ?", [[json.dumps(schema)]])

    def findings(
        self, info: m.CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[m.Finding]:
        told = "{} rows have values outside of the range that the codes cover"
        clipped = {name: each.index["clipped"] for name, each in info.vectors.items()}
        return [
            m.Finding("clipped-codes", m.Severity.WARNING, name, told.format(rows))
            for name, rows in clipped.items()
            if rows
        ]

    def _schema(self, collection: str) -> list[dict[str, Any]]:
        return list(json.loads(self._db.run(collection, "SELECT schema FROM meta")[0][0]))


def _comparable(vector: Mapping[str, Any], rows: np.ndarray) -> np.ndarray:
    """Rows to encode: normalized under cosine."""
    return unit(rows) if vector["metric"] == "cosine" else rows
