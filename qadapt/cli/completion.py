"""Shell completion: fast, without output, and without network access."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from qadapt.errors import QadaptError

Found = list[tuple[str, str]]

_KINDS: Found = [
    ("none", "original float32 vectors"),
    ("float16", "16-bit floating point"),
    ("scalar", "linear, 8 bits per dimension (or 4, 6, 7)"),
    ("rotational", "random rotation, then 1 to 8 bits per dimension"),
    ("binary", "sign bits"),
    ("product", "product quantization"),
]
_SEVERAL = {
    "scalar": ["bits=", "quantile=", "per="],
    "rotational": ["bits=", "query_bits="],
    "binary": ["bits=", "query_bits="],
    "product": ["ratio=", "segments=", "centroids="],
}
_COMMON = [
    "dims=",
    "rescore=",
    "candidates=",
    "codes=ram",
    "codes=cached",
    "codes=disk",
    "originals=ram",
    "originals=disk",
    "originals=none",
]


def words(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A completion from a fixed list."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


def quantizations(incomplete: str) -> Found:
    """Kinds; after a colon or comma, the remaining options of the kind."""
    kind, colon, tail = incomplete.partition(":")
    if not colon:
        return [pair for pair in _KINDS if pair[0].startswith(incomplete)]
    head = incomplete[: len(incomplete) - len(tail.rpartition(",")[2])]
    given = {part.partition("=")[0] for part in tail.split(",")[:-1]}
    knobs = [*_SEVERAL.get(kind, ()), *_COMMON]
    found = [head + knob for knob in knobs if knob.partition("=")[0] not in given]
    return [(text, "") for text in found if text.startswith(incomplete)]


def collections(ctx: typer.Context, incomplete: str) -> list[str]:
    """Collection names of an embedded database; servers are not queried for completions."""
    url = ctx.params.get("url") or ctx.params.get("target")
    if not isinstance(url, str) or "://" in url:
        return []
    import qadapt as qa

    try:
        with qa.open(url) as db:
            return [name for name in db.collections() if name.startswith(incomplete)]
    except (QadaptError, OSError):
        return []  # a completion cannot report errors


def features(incomplete: str) -> Found:
    """Features that all databases declare."""
    from qadapt.model import FEATURES

    return [(name, text) for name, text in FEATURES.items() if name.startswith(incomplete)]


def stores(incomplete: str) -> list[str]:
    """Names of the databases."""
    from qadapt import plugins

    return [name for name in plugins.names() if name.startswith(incomplete)]


def changes(incomplete: str) -> Found:
    """Ids of changes, newest first."""
    from qadapt.planning import journal

    try:
        return [
            (each.id, f"{each.plan.collection}: {each.plan.requested}, {each.state}")
            for each in journal.records()
            if each.id.startswith(incomplete)
        ]
    except (QadaptError, OSError):
        return []


def schemas(incomplete: str) -> list[str]:
    """Names of documents."""
    from qadapt.cli.documents import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def losses(incomplete: str) -> Found:
    """Names of losses that a migration can accept."""
    from qadapt.model.losses import LOSSES

    return [(name, text) for name, text in LOSSES.items() if name.startswith(incomplete)]
