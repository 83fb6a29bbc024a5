"""Settings of qadapt in the note of a collection (see ``schema``)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from qadapt.model import Rescore
from qadapt.stores.base import silent
from qadapt.stores.weaviate import native_rescore, schema
from qadapt.stores.weaviate.aliases import claimed
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.errors import CompressingError
from qadapt.stores.weaviate.schema import Layout

LONGEST = 60.0  # seconds for which a shard that builds codes may refuse the schema
PAUSE = 1.0


def load_settings(layout: Layout) -> Mapping[str, Any]:
    """The settings in the note of a collection; empty if there are none."""
    found = schema.note_of(layout.raw).get("settings")
    return found if isinstance(found, Mapping) else {}


def _rescores(settings: Mapping[str, Any]) -> dict[str, Rescore | None]:
    """The default rescoring of each vector in the settings."""
    found = {}
    for name, each in (settings.get("vectors") or {}).items():
        rescore = each.get("rescore") if isinstance(each, Mapping) else None
        found[name] = None if rescore is None else Rescore.of(rescore)
    return found


def write_settings(connection: Connection, real: str, settings: Mapping[str, Any]) -> None:
    """Write settings to the note; the rest of the description is kept.

    The indexes hold the rescoring of the settings, and get their former limit back when it goes
    (``native_rescore``). Both are one change of the schema.

    Raises:
        BusyError: a shard builds codes, and did not finish within 60 seconds.
    """
    doing, path = f"save the settings of {real!r}", f"/v1/schema/{quote(real)}"
    end = time.monotonic() + LONGEST
    with claimed(connection, real, silent):
        while True:
            layout = schema.describe(connection, real)
            raw, limits = native_rescore.with_limits(layout, _rescores(settings))
            changed = schema.with_settings(raw, settings, limits)
            if changed == layout.raw:
                return
            try:
                connection.rest("PUT", path, changed, doing=doing)
                break
            except CompressingError:
                if time.monotonic() > end:
                    raise
                time.sleep(PAUSE)
