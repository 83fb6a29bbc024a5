"""``fifth:DIR``: a folder of SQLite files as a store of qadapt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.errors import AlreadyExistsError, InputError, NotFoundError, UnsupportedError
from qadapt.model import (
    Batch,
    CollectionInfo,
    Evidence,
    Finding,
    Id,
    Metric,
    Quantization,
    Server,
    Severity,
    State,
    Status,
    Step,
    Symbol,
    Vector,
    VectorInfo,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import OnProgress, Progress, accepted
from qadapt.stores.row_store import RowStore

from qadapt_fifth import engine
from qadapt_fifth.codes import Scale
from qadapt_fifth.profile import NONE, PROFILE, SCALAR

SET = "fifth.quantize"


class FifthStore(RowStore):
    """Threads may share it; processes take turns."""

    profile = PROFILE

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> FifthStore:
        if address.transport:
            raise UnsupportedError("this example has no server", hint="open a folder: fifth:./data")
        return cls(address, disabled=disabled)

    def close(self) -> None:
        """Nothing stays open."""

    def server(self) -> Server:
        return Server(self.name, "0.1.0", "embedded")

    def _file(self, collection: str) -> Path:
        if not collection.replace("_", "").replace("-", "").isalnum():
            raise InputError(f"a collection's name has letters, digits, _ and -: {collection!r}")
        return self.address.path / f"{collection}.db"

    def collections(self) -> list[str]:
        return sorted(file.stem for file in self.address.path.glob("*.db"))

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        beside: Any = None,
    ) -> None:
        file = self._file(collection)
        if file.exists():
            raise AlreadyExistsError(f"there is a collection {collection!r} already")
        wanted = checks.quantizations(quantization, vectors)
        kept = []
        for name, each in vectors.items():
            if each.datatype != "float32":
                raise UnsupportedError(f"vectors are float32, not {each.datatype}")
            mapped = accepted(self.map(wanted[name], each), wanted[name], self.name)
            # Values of at most 1 are expected until the first build knows better.
            step = None if mapped.target == NONE else 1 / 127
            about = {"dim": each.dim, "metric": each.metric.value, "step": step, "clipped": 0}
            kept.append({"name": name, **about})
        file.parent.mkdir(parents=True, exist_ok=True)
        engine.create(file, kept)

    def drop(self, collection: str) -> None:
        file = self._file(collection)
        if not file.exists():
            raise NotFoundError.missing("collection", collection, self.collections())
        file.unlink()

    def info(self, collection: str) -> CollectionInfo:
        with engine.opened(self._file(collection), "describe") as db:
            vectors = engine.schema(db)
            columns = "".join(f", count(v{at}), count(c{at})" for at in range(len(vectors)))
            count, *counts = db.execute(f"SELECT count(*){columns} FROM rows").fetchone()
        found = {
            each["name"]: _described(each, *counts[2 * at : 2 * at + 2])
            for at, each in enumerate(vectors)
        }
        config = {each["name"]: {"codes": each["step"] is not None} for each in vectors}
        return CollectionInfo(collection, count, found, self.server(), config)

    # -- rows ----------------------------------------------------------------------------------

    def write_rows(self, collection: str, batch: Batch) -> None:
        payloads = [json.dumps(each) for each in batch.payloads or [{}] * len(batch)]
        with engine.opened(self._file(collection), "write to") as db:
            engine.write(db, batch.ids, payloads, dict(batch.vectors), dict(batch.missing))

    def delete_rows(self, collection: str, ids: Sequence[Id]) -> None:
        with engine.opened(self._file(collection), "delete from") as db:
            db.executemany("DELETE FROM rows WHERE id = ?", [(key,) for key in ids])

    def ids(
        self, collection: str, after: Id | None, limit: int, through: Id | None = None
    ) -> list[Id]:
        last = "" if through is None else "AND id <= ?"
        bounds = [-1 if after is None else after, *([] if through is None else [through]), limit]
        text = f"SELECT id FROM rows WHERE id > ? {last} ORDER BY id LIMIT ?"
        with engine.opened(self._file(collection), "read") as db:
            return [row[0] for row in db.execute(text, bounds)]

    def rows(
        self,
        collection: str,
        ids: Sequence[Id],
        vectors: Sequence[str],
        *,
        payload: bool,
        codes: bool = False,
    ) -> Batch:
        with engine.opened(self._file(collection), "read") as db:
            schema = {each["name"]: (at, each) for at, each in enumerate(engine.schema(db))}
            letter = "c" if codes else "v"
            columns = "".join(f", {letter}{schema[name][0]}" for name in vectors)
            text = f"SELECT rows.id, payload{columns} FROM json_each(?) JOIN rows ON rows.id = value"
            cells = list(zip(*db.execute(text, [json.dumps(list(ids))]), strict=True))
        found, missing = {}, {}
        for place, name in enumerate(vectors, start=2):
            about = schema[name][1]
            column = cells[place] if cells else ()
            rows, absent = engine.array(column, about["dim"], np.int8 if codes else np.float32)
            found[name] = Scale(about["step"]).decode(rows) if codes else rows
            if absent.any():
                missing[name] = absent
        payloads = [json.loads(each) for each in cells[1]] if cells and payload else None
        return Batch(cells[0] if cells else [], found, payloads, missing)

    # -- quantization --------------------------------------------------------------------------

    def steps(self, info: CollectionInfo, vector: str, quantization: Quantization) -> list[Step]:
        about = info.vectors[vector]
        target = accepted(self.map(quantization, about.vector), quantization, self.name).target
        if target == about.quantization and about.status.state in (State.ACTIVE, State.ABSENT):
            return []
        request = {"op": SET, "vector": vector, "codes": target == SCALAR}
        reverse = {**request, "codes": about.quantization == SCALAR}
        action = f"set codes to {target}"
        return [Step(Symbol.BLOCKING, action, "asked for", request, reverse)]

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        checks.request(request, {SET: {"op", "vector", "codes"}}, self.name)
        progress(Progress("building codes", unit="collections", total=1))
        with engine.opened(self._file(collection), "quantize") as db:
            engine.quantize(db, request["vector"], request["codes"])

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        found = []
        for name, about in info.vectors.items():
            clipped = about.index["clipped"]
            if clipped:
                told = f"{clipped} rows have values outside of the range that the codes cover"
                evidence = (Evidence("clipped rows", clipped),)
                found.append(Finding("clipped-codes", Severity.WARNING, name, told, evidence))
        return found


def _described(vector: Mapping[str, Any], count: int, coded: int) -> VectorInfo:
    """A vector as the file shows it: codes are active when every vector has one."""
    on = vector["step"] is not None
    evidence = (Evidence("rows with a vector", count), Evidence("rows with codes", coded))
    state = State.ABSENT if not on else State.ACTIVE if coded == count else State.BUILDING
    return VectorInfo(
        vector["name"], vector["dim"], Metric(vector["metric"]), "float32", count,
        {"type": "scan", "clipped": vector["clipped"]}, SCALAR if on else NONE,
        Status(state, evidence=evidence), code_bytes=coded * vector["dim"] if on else 0,
        float_bytes=4 * count * vector["dim"],
    )  # fmt: skip
