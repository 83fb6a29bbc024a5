"""One look at a collection: its configuration and what its segments hold, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import AuthError, NotFoundError, StoreError, TransientError
from qadapt.model import CollectionInfo, Server, VectorInfo
from qadapt.stores.qdrant import config, mapping, telemetry
from qadapt.stores.qdrant.connection import Connection
from qadapt.stores.qdrant.rescoring import Codes
from qadapt.stores.qdrant.sizes import BYTES
from qadapt.stores.qdrant.status import Seen, judge, widest


@dataclass(frozen=True)
class Look:
    """One look.

    Attributes:
        name: as asked for; perhaps an alias.
        real: the collection behind it.
        info: ``result`` of ``GET /collections/NAME``.
        telemetry: what segments hold; None where it cannot be seen.
        unseen: why not.
        running: optimizations that run, where the server tells.
        version: of the server.
        note: a line on versions of client and server.
    """

    name: str
    real: str
    info: Mapping[str, Any]
    telemetry: telemetry.Telemetry | None
    unseen: str
    running: int | None
    version: str | None
    note: str | None = None

    @property
    def colour(self) -> str:
        """The collection's status: green, yellow, grey or red."""
        return str(self.info.get("status", ""))

    @property
    def trouble(self) -> str:
        """The optimizer's error; empty for none."""
        told = self.info.get("optimizer_status", "ok")
        text = str(told.get("error", told)) if isinstance(told, Mapping) else str(told)
        # 1.9 to 1.11 tell here what later versions call grey.
        return "" if text == "ok" or "pending" in text else text

    def seen(self, name: str, count: int) -> Seen:
        """The evidence of one vector."""
        described = config.described(self.info)
        return Seen(
            name=name,
            vector=described[name],
            count=count,
            target=config.in_force(self.info, name),
            threshold=config.threshold(self.info),
            colour=self.colour,
            trouble=self.trouble,
            version=self.version,
            telemetry=self.telemetry,
            unseen=self.unseen,
            running=self.running,
            widest=widest(self.telemetry, described, name),
            note=self.note,
        )

    def codes(self, name: str) -> Codes:
        """What a search of a vector meets: what segments hold, where that can be seen."""
        if self.telemetry is None:
            target = config.in_force(self.info, name)
            return Codes(mapping.from_native({"quantization_config": target}), None)
        rows = [each for each in self.telemetry.segments.get(name, ()) if each.present]
        held = [each for each in rows if each.codes is not None]
        largest = max(held, key=lambda each: each.rows, default=None)
        there = None if largest is None else largest.codes
        return Codes(mapping.from_native({"quantization_config": there}), len(rows))


def look(connection: Connection, name: str) -> Look:
    """Look at a collection of a server.

    Raises:
        NotFoundError: no such collection.
    """
    doing = f"inspect {name!r}"
    names = {"collection_name": name}
    info = connection.ask("GET", "/collections/{collection_name}", doing=doing, names=names)
    running = _running(connection, names)
    seen, real, unseen = _telemetry(connection, name)
    version = connection.version
    note = None if version is None else connection.note(version)
    return Look(name, real, info, seen, unseen, running, version, note)


def _running(connection: Connection, names: dict[str, str]) -> int | None:
    """Optimizations that run: ``ongoing`` on 1.16, ``running`` and the queue since 1.17."""
    path = "/collections/{collection_name}/optimizations"
    try:
        found = connection.ask("GET", path, doing="read optimizations", names=names)
    except TransientError:
        raise
    except (StoreError, NotFoundError):
        return None
    queued = (found.get("summary") or {}).get("queued_optimizations") or 0
    return len(found.get("ongoing") or found.get("running") or []) + int(queued)


def _telemetry(connection: Connection, name: str) -> tuple[telemetry.Telemetry | None, str, str]:
    """What the telemetry shows, the collection's real name, and why it shows nothing."""
    try:
        answer = connection.ask("GET", telemetry.PATH, doing="read telemetry")
    except TransientError:
        raise
    except AuthError as error:
        return None, real_name(connection, name), f"the key may not read telemetry: {error.message}"
    except (StoreError, NotFoundError) as error:
        return None, real_name(connection, name), f"no telemetry here: {error.message}"
    there = telemetry.collections(answer)
    real = name if name in there else real_name(connection, name)
    if real not in there:
        return None, real, "the telemetry does not show this collection"
    found = telemetry.of(there[real])
    return found, real, "" if found else "the telemetry shows no segments of this collection"


def aliases(connection: Connection) -> dict[str, str]:
    """The collection behind each alias."""
    found = connection.ask("GET", "/aliases", doing="list aliases")
    return {each["alias_name"]: each["collection_name"] for each in found["aliases"]}


def visible_aliases(connection: Connection) -> dict[str, str]:
    """The same, none for a key that may not list them."""
    try:
        return aliases(connection)
    except AuthError:
        return {}


def real_name(connection: Connection, name: str) -> str:
    """The collection behind a name that may be an alias."""
    return visible_aliases(connection).get(name, name)


def vector_info(name: str, seen: Seen, looked: Look) -> VectorInfo:
    """One vector in common words."""
    quantization = mapping.from_native(config.native(looked.info, name))
    each = config.params(looked.info)[name]
    index = dict(seen.indexed[0].index) if seen.indexed else {"type": "plain"}
    many = config.is_multivector(each)
    if many:
        index["multivector"] = each["multivector_config"].get("comparator", "max_sim")
    codes = sum(segment.rows for segment in seen.segments if segment.codes)
    return VectorInfo(
        name=name,
        dim=seen.vector.dim,
        metric=seen.vector.metric,
        datatype=seen.vector.datatype,
        count=seen.count,
        index=index,
        quantization=quantization,
        status=judge(seen),
        default_rescore=mapping.default_rescore(quantization),
        # Computed from rows: the server reports neither. A multivector has many a row.
        code_bytes=None
        if seen.telemetry is None or many
        else mapping.code_bytes(seen.target, seen.vector, codes),
        float_bytes=None
        if many
        else int(seen.count * seen.vector.dim * BYTES[seen.vector.datatype]),
    )


def collection_info(
    looked: Look, server: Server, count: int, counts: Mapping[str, int]
) -> CollectionInfo:
    """The whole collection in common words."""
    settings = config.settings(looked.info)
    if looked.real != looked.name:
        settings["alias_of"] = looked.real
    return CollectionInfo(
        name=looked.name,
        count=count,
        vectors={
            name: vector_info(name, looked.seen(name, counts[name]), looked) for name in counts
        },
        server=server,
        config=settings,
    )
