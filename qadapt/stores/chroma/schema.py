"""Collections of Chroma in common terms.

A collection has one vector, whose dimensions Chroma fixes with the first row. qadapt records the
dimensions of an empty collection, and its settings, in the collection's metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import InputError
from qadapt.model import Metric, Vector

SPACES = {"cosine": Metric.COSINE, "ip": Metric.DOT, "l2": Metric.EUCLIDEAN}
OF_METRIC = {metric: space for space, metric in SPACES.items()}
KEY = "qadapt"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Layout:
    """A collection, as Chroma describes it.

    Attributes:
        native: the client's object.
        name: its name.
        uuid: its identity; another one if it was created again.
        vector: None while the dimensions are unknown.
        space: Chroma's word for the metric.
        configuration: as returned by Chroma.
        metadata: the user's metadata.
        settings: qadapt's entry in the metadata.
    """

    native: Any
    name: str
    uuid: str
    vector: Vector | None
    space: str
    configuration: Mapping[str, Any]
    metadata: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def integers(self) -> bool:
        """Whether decimal numbers are integers in the ids of this collection."""
        return self.settings.get("ids") == "integers"

    @property
    def unfiltered(self) -> frozenset[str]:
        """Top-level payload fields with values that Chroma's filters cannot compare."""
        found = self.settings.get("unfiltered")
        return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def layout(native: Any) -> Layout:
    """Describe the client's object of a collection."""
    metadata = dict(native.metadata or {})
    settings = _settings(metadata.pop(KEY, None))
    configuration = dict(native.configuration_json)
    space = str((index_of(configuration)[1] or {}).get("space") or "l2")
    dim = native._model.dimension or settings.get("dim")
    vector = Vector(dim, SPACES[space]) if isinstance(dim, int) and dim > 0 else None
    return Layout(
        native, native.name, str(native.id), vector, space, configuration, metadata, settings
    )


def index_of(configuration: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """The index that Chroma built, by its own answer: ``hnsw`` or ``spann``."""
    if configuration.get("spann"):
        return "spann", configuration["spann"]
    return "hnsw", configuration.get("hnsw")


def _settings(text: Any) -> dict[str, Any]:
    """qadapt's entry; empty if another program wrote something else under its key."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def metadata_with(layout: Layout, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata to write: Chroma replaces it as a whole, and refuses an empty one."""
    return {**layout.metadata, KEY: settings_text(settings)}


def settings_text(settings: Mapping[str, Any]) -> str:
    """qadapt's entry as text; empty settings are left out."""
    kept = {key: value for key, value in settings.items() if value}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False)


def check_name(name: str) -> None:
    """Check a name by Chroma's rules, which name the characters but not the reason.

    Raises:
        InputError
    """
    if not _NAME.fullmatch(name) or ".." in name or _IPV4.fullmatch(name):
        raise InputError(
            "a collection name in Chroma has 3 to 512 letters, digits, '.', '_' or '-', starts and "
            f"ends with a letter or digit, and has no '..'; got {name!r:.80}",
            hint="for example 'articles'",
        )


def unsupported(vectors: Mapping[str, Vector]) -> str | None:
    """Why a collection cannot have these vectors; None if it can."""
    if set(vectors) != {""}:
        return "Chroma has one unnamed vector per collection; create a collection for each vector"
    datatype = vectors[""].datatype
    return None if datatype == "float32" else f"Chroma stores float32, not {datatype}"
