"""Code for Python without qadapt, printed by ``qadapt client-params``."""

from __future__ import annotations

from qadapt.model import Metric
from qadapt.stores.client_form import ClientCode, ClientForm

SCORE = {
    Metric.COSINE: "rows @ query / np.linalg.norm(rows, axis=1)",
    Metric.DOT: "rows @ query",
    Metric.EUCLIDEAN: "-np.linalg.norm(rows - query, axis=1)",
}
CODE = '''import sqlite3

import numpy as np

db = sqlite3.connect({file!r})


def best(column, dtype, query, k, ids=None):
    found = db.execute(f"SELECT id, {{column}} FROM rows WHERE {{column}} IS NOT NULL")
    kept = [(key, blob) for key, blob in found if ids is None or key in ids]
    rows = np.stack([np.frombuffer(blob, dtype) for _, blob in kept]).astype(np.float32)
    rows, query = {scale}rows, np.asarray(query, dtype=np.float32)
    return [kept[at][0] for at in np.argsort(-({score}), kind="stable")[:k]]


def search(query):
    """Ids of the {k} best rows."""
    {body}
'''


def _sqlite(about: ClientCode) -> str | None:
    """Code for a local folder; None for a server, which speaks another protocol."""
    if about.opened is None:
        return None
    at, step = about.search.details["column"], about.search.details["step"]
    scale, body = "", f'return best("v{at}", np.float32, query, {about.k})'
    if step is not None:
        scale = f"np.float32({step!r} if dtype == np.int8 else 1) * "
        body = f'return best("c{at}", np.int8, query, {about.k})'
    if step is not None and about.search.rescores:
        body = f'ids = set(best("c{at}", np.int8, query, {about.search.limit}))'
        body += f'\n    return best("v{at}", np.float32, query, {about.k}, ids)'
    file, score = f"{about.opened}/{about.collection}.db", SCORE[about.vector.metric]
    return CODE.format(file=file, scale=scale, score=score, k=about.k, body=body)


FORMS = (ClientForm("sqlite3", "python", _sqlite),)
