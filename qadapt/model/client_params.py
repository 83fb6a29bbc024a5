"""What clients must send so that their searches are those of qadapt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable
from qadapt.model.table import FieldTable, Table, preformatted

KeptIn = Literal["collection", "this machine", "nowhere"]


_KEPT_TEXT: Mapping[str, str] = {
    "collection": "the collection, which qadapt reads on every machine",
    "this machine": "the state folder of this machine only; qadapt on other machines searches "
    "without them",
}


@dataclass(frozen=True)
class ClientParams(FieldTable, Serializable):
    """What clients must send to get the results of qadapt's own search.

    Attributes:
        collection, vector: their names; ``""`` for the unnamed vector.
        k: number of results that ``limit`` and ``params`` are for.
        needed: whether anything must be sent; if not, clients that send no parameters have the
            same results.
        rescore: the default rescoring of the collection; None for that of the database.
        limit: number of results to request.
        params: the database's own search parameters.
        rescores: whether the client must score the results again with the original vectors.
        reachable: False if only qadapt can search the codes, because they are client-side.
        kept_in: where qadapt reads the default rescoring: ``collection`` (all machines), ``this
            machine`` (the state folder), or ``nowhere`` if there is none.
        dims: number of first dimensions of the model that queries must have; None for all.
        notes: settings that are ignored, with the reason.
        code: code to paste, by form; empty in plans and measurements.
        statement: the SQL that must be sent; empty if the database has none, or any SQL will do.
    """

    collection: str
    vector: str
    k: int
    needed: bool
    rescore: Rescore | None = None
    limit: int = 0
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rescores: bool = False
    reachable: bool = True
    kept_in: KeptIn = "nowhere"
    dims: int | None = None
    notes: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict, hash=False)
    statement: str = ""

    def table(self) -> Table:
        """One row per field, without the code, which ``print`` and notebooks show below."""
        return super(ClientParams, self.replace(code={})).table()

    def __str__(self) -> str:
        return "\n\n".join([str(self.table()), *(f"{n}:\n{c}" for n, c in self.code.items())])

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        code = (f"<p><b>{escape(n)}</b></p>{preformatted(c)}" for n, c in self.code.items())
        return self.table()._repr_html_() + "".join(code)

    @property
    def kept_text(self) -> str:
        """Where qadapt reads the default rescoring; empty if there is none."""
        return _KEPT_TEXT.get(self.kept_in, "")

    @property
    def text(self) -> str:
        """One sentence: what must be sent."""
        if self.dims is None:
            return self._sent
        return f"send queries of the first {self.dims:,} dimensions, scaled to length 1 under " + (
            f"cosine; {self._sent}" if self.needed else "cosine"
        )

    @property
    def _sent(self) -> str:
        if not self.reachable:
            return (
                "only qadapt searches client-side codes; other clients search the original vectors"
            )
        if not self.needed:
            return "nothing must be sent"
        parts = []
        if self.params:
            parts.append(f"the parameters {json.dumps(self.params, ensure_ascii=False)}")
        if self.limit != self.k:
            parts.append(f"limit {self.limit:,} for {self.k:,} results")
        if self.statement:
            parts.append("the SQL of `qadapt client-params --for sql`")
        sent = f"send {' and '.join(parts)}" if parts else "request the original vectors"
        if self.rescores:
            return f"{sent}, then score the results with the original vectors and keep {self.k:,}"
        return f"{sent}, then keep the first {self.k:,}" if self.limit != self.k else sent
