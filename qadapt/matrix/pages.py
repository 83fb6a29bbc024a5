"""Generation of docs/matrix.json, docs/matrix.md and docs/support.md."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from qadapt.matrix.cells import Cell
from qadapt.matrix.live_runs import LiveRun
from qadapt.model import Support

_WRITTEN = (
    "<!-- Written by `python -m qadapt.matrix write docs`; a test fails if it is out of date. -->"
)
_WORD = {
    Support.NATIVE: "native",
    Support.CLIENT: "client-side",
    Support.UNSUPPORTED: "not supported",
}

_MATRIX = f"""{_WRITTEN}
# Support matrix

Each cell is one kind and width of codes in one version and deployment of a database, searched
with one index. It was checked in one of these ways:

- **verified**: on a live engine of that version. The setting was applied and read back, signals of
  the engine showed it active, searches without rescoring had a recall below 1, and rescoring
  increased it. The figures are in the second table of each store.
- **contract**: by tests with recorded requests and responses; no engine of that version was run.
- **declared**: from documentation and source alone.

*native*: the database stores and searches the codes. *client-side*: codes of qadapt (`--accept
client`). *not supported*: neither; client-side scalar and binary codes work with every database.
"newest" is the newest known version. Recall cannot distinguish 16-bit from 32-bit floats, so they
are never *verified*. `qadapt matrix STORE` gives the reasons.
"""

_SUPPORT = f"""{_WRITTEN}
# Which database has binary and int8 quantization

The table of [Binary and Scalar Embedding Quantization for Significantly Faster & Cheaper
Retrieval](https://huggingface.co/blog/embedding-quantization) updated for
the databases that qadapt supports. It is generated from the same data as [the matrix](matrix.md).

- **native**: the database computes and searches the codes.
- **indirect**: the nearest equivalent, or another mechanism, as described.
- **client-side**: codes of qadapt; original vectors for rescoring come from the database.

Recall is mean recall@10 by exact scores of the original float32 vectors, without rescoring and with
ten times as many candidates rescored, on 2,000 abstracts of SciFact (all-MiniLM-L6-v2, 384
dimensions) unless noted otherwise. Rescoring is native, or done by qadapt if the database has none.
"""


def document(cells: Sequence[Cell]) -> str:
    """docs/matrix.json."""
    entries = [each.to_dict() for each in cells]
    return json.dumps({"cells": entries}, indent=1, ensure_ascii=False) + "\n"


# -- docs/matrix.md ------------------------------------------------------------------------------


def matrix(cells: Sequence[Cell]) -> str:
    """docs/matrix.md."""
    parts = [_MATRIX]
    for store, group in groupby(cells, key=lambda each: each.store):
        of_store = list(group)
        parts += [f"\n## {store}\n", _claims(of_store)]
        figures = _figures(of_store)
        parts.append(figures or "\nThis database was not tested live.\n")
    return "\n".join(parts)


def _claims(cells: Sequence[Cell]) -> str:
    points = list(dict.fromkeys((each.deployment, each.version) for each in cells))
    rows = sorted(_rows(cells), key=_order)
    head = ["kind", *(f"{deployment} {version or 'newest'}" for deployment, version in points)]
    body = [
        [_kind(kind, width), *(_claim(cells, point, kind, width) for point in points)]
        for kind, width in rows
    ]
    return _table(head, body)


def _rows(cells: Sequence[Cell]) -> set[tuple[str, str]]:
    """Kinds by width; a kind without width only if none of its widths is known."""
    wide = {each.kind for each in cells if each.width}
    return {(c.kind, c.width) for c in cells if c.width or c.kind not in wide}


def _claim(cells: Sequence[Cell], point: tuple[str, str | None], kind: str, width: str) -> str:
    there = [c for c in cells if (c.deployment, c.version, c.kind) == (*point, kind)]
    found = [c for c in there if c.width == width] or [c for c in there if not c.width]
    if not found:
        return "–"
    best = next((each for each in found if each.live_runs), found[0])
    how = f"**{best.checked}**" if best.live_runs else best.checked
    return f"{_WORD[best.support]}, {how}"


def _figures(cells: Sequence[Cell]) -> str:
    runs = [each.live_runs for each in cells if each.live_runs is not None]
    if not runs:
        return ""
    runs.sort(key=lambda run: (run.deployment, run.version, _order((run.kind, run.width))))
    head = ["verified on", "kind", "index", "codes read back", "without rescoring", "with", "by"]
    body = [
        [
            f"{run.deployment} {run.version}",
            _kind(run.kind, run.width),
            run.index,
            f"`{run.codes}`",
            f"{run.without:.3f}" + ("" if run.without_by == "off" else "\\*"),
            f"{run.lifted:.3f}",
            "the store" if run.rescorer == "store" else "qadapt",
        ]
        for run in runs
    ]
    about = "; ".join(sorted({_about(run) for run in runs}))
    starred = any(run.without_by != "off" for run in runs)
    note = "\n\n\\* the database always rescores: with k candidates only." if starred else ""
    return f"\n{about}.\n\n{_table(head, body)}{note}\n"


def _about(run: LiveRun) -> str:
    return (
        f"{run.rows:,} rows of {run.data}, {run.dim} dimensions, {run.queries} queries, "
        f"recall@{run.k}, oversampling {run.oversampling:g}; ground truth: {run.ground_truth}"
    )


# -- docs/support.md -----------------------------------------------------------------------------


def support(cells: Sequence[Cell], tested: Sequence[str] = ()) -> str:
    """docs/support.md."""
    head = ["store", "deployment", "binary", "int8"]
    body = []
    for (store, deployment), group in groupby(cells, key=lambda c: (c.store, c.deployment)):
        of_point = list(group)
        body.append(
            [store, deployment, _answer(of_point, "binary", "1"), _answer(of_point, "scalar", "8")]
        )
    versions = textwrap.fill(f"Oldest versions: {' '.join(tested)}", 100)
    about = f"{_SUPPORT}\n{versions}\n" if tested else _SUPPORT
    return f"{about}\n{_table(head, body)}\n"


def _answer(cells: Sequence[Cell], kind: str, width: str) -> str:
    """Describe live runs, then the newest version if it differs."""
    fitting = [each for each in cells if each.kind == kind and each.width in ("", width)]
    live_runs = [each.live_runs for each in fitting if each.live_runs is not None]
    same = groupby(live_runs, key=lambda run: (run.version, run.differences))
    lines = [_seen_answer(version, why, list(runs)) for (version, why), runs in same]
    lines += [_told_answer(each) for each in fitting if each.version is None]
    return "<br>".join(lines) or "client-side"


def _seen_answer(version: str, differences: Sequence[str], runs: Sequence[LiveRun]) -> str:
    how = "indirect" if differences else "native"
    why = f" ({'; '.join(differences)})" if differences else ""
    figures = ", ".join(f"by {run.index} {run.without:.3f} → {run.lifted:.3f}" for run in runs)
    return f"**{how}**, verified on {version}: {figures}{why}"


def _told_answer(cell: Cell) -> str:
    if cell.support is Support.NATIVE:
        return f"native in the newest, {cell.checked}: {cell.reason}"
    return f"**client-side**: {cell.reason}"


# -- formatting
# ---------------------------------------------------------------------------------------


def _kind(kind: str, width: str) -> str:
    """Quantization string of a kind and width."""
    knob = "ratio" if kind == "product" else "bits"
    return f"`{kind}:{knob}={width}`" if width else f"`{kind}`"


_KINDS = ("scalar", "rotational", "binary", "product", "float16")


def _order(row: tuple[str, str]) -> tuple[int, float]:
    kind, width = row
    return _KINDS.index(kind), float(width or 0)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def pages(cells: Sequence[Cell], tested: Sequence[str] = ()) -> Mapping[str, str]:
    """Generate all pages: file names and text.

    Args:
        tested: oldest versions that pass the conformance suite, from the profiles.
    """
    return {
        "matrix.json": document(cells),
        "matrix.md": matrix(cells),
        "support.md": support(cells, tested),
    }
