"""One look at a collection: its configuration and what its segments hold, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qadapt.errors import AuthError, NotFoundError, StoreError
from qadapt.model import CollectionInfo, Server, VectorInfo
from qadapt.stores.qdrant import config, mapping, memory, optimizations, telemetry
from qadapt.stores.qdrant.connection import Connection
from qadapt.stores.qdrant.failures import is_outage
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
        optimizations: what runs and what is queued, where the server tells.
        version: of the server.
        note: a line on versions of client and server.
        built: rows that segments were built from, by their uuid; read only where it decides.
    """

    name: str
    real: str
    info: Mapping[str, Any]
    telemetry: telemetry.Telemetry | None
    unseen: str
    optimizations: optimizations.Optimizations | None
    version: str | None
    note: str | None = None
    built: Mapping[str, int] = field(default_factory=dict)

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

    @property
    def idle(self) -> bool:
        """Whether no optimization runs, as far as the server tells."""
        if self.optimizations is not None:
            return not self.optimizations.running
        return self.telemetry is None or not self.telemetry.optimizing

    def seen(self, name: str, count: int, bytes_of: memory.CodeBytes | None = None) -> Seen:
        """The evidence of one vector.

        Args:
            count: rows that have it.
            bytes_of: what its codes take, as the server reports it.
        """
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
            optimizations=self.optimizations,
            widest=widest(self.telemetry, described, name),
            note=self.note,
            built=self.built,
            bytes_of=bytes_of,
            clash=config.clash(self.info, name),
        )

    def codes(self, name: str) -> Codes:
        """What a search of a vector meets: what segments hold, where that can be seen.

        Where segments hold different codes, as while they are rebuilt, those whose scores are
        approximate by default are given.
        """
        if self.telemetry is None:
            target = config.in_force(self.info, name)
            return Codes(mapping.from_native({"quantization_config": target}), None)
        rows = [each for each in self.telemetry.segments.get(name, ()) if each.present]
        held = [
            (
                each.present,
                Codes(mapping.from_native({"quantization_config": each.codes}), len(rows)),
            )
            for each in rows
            if each.codes is not None
        ]
        if not held:
            return Codes(mapping.from_native({}), len(rows))
        return max(held, key=lambda each: (not each[1].exact_by_default, each[0]))[1]

    def settled(self, name: str) -> bool:
        """Whether the segments stay as they are while the configuration does."""
        seen = self.seen(name, 0)
        built = len(seen.expected) == len(seen.obeying) and not seen.waiting
        return built and self.idle and not seen.stalled


def look(connection: Connection, name: str, shown: telemetry.Shown | None = None) -> Look:
    """Look at a collection of a server.

    Args:
        shown: the telemetry of all collections, where it was read already.

    Raises:
        NotFoundError: no such collection.
    """
    doing = f"inspect {name!r}"
    names = {"collection_name": name}
    info = connection.ask("GET", "/collections/{collection_name}", doing=doing, names=names)
    pending = optimizations.read(connection, name)
    seen, real, unseen = _telemetry(connection, name, shown or telemetry_of_all(connection))
    version = connection.version
    note = None if version is None else connection.note(version)
    found = Look(name, real, info, seen, unseen, pending, version, note)
    if any(found.seen(each, 0).unmeasured for each in config.described(info)):
        return replace(found, built=optimizations.built_from(connection, name))
    return found


def telemetry_of_all(connection: Connection) -> telemetry.Shown:
    """The telemetry of all collections, or why there is none; a time-out is no failure."""
    try:
        answer = connection.ask("GET", telemetry.PATH, doing="read telemetry")
    except AuthError as error:
        return telemetry.Shown({}, f"the key may not read telemetry: {error.message}")
    except (StoreError, NotFoundError) as error:
        if is_outage(error):
            raise
        return telemetry.Shown({}, f"no telemetry here: {error.message}")
    return telemetry.Shown(telemetry.collections(answer))


def _telemetry(
    connection: Connection, name: str, shown: telemetry.Shown
) -> tuple[telemetry.Telemetry | None, str, str]:
    """What the telemetry shows, the collection's real name, and why it shows nothing."""
    there = shown.collections
    real = name if name in there else real_name(connection, name)
    if shown.unseen:
        return None, real, shown.unseen
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
    reported = None if seen.bytes_of is None else seen.bytes_of.held
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
        # As the server reports them (since 1.18), else computed from rows; originals always are.
        # A multivector has many vectors a row.
        code_bytes=_computed(seen, codes, many) if reported is None else reported,
        float_bytes=None
        if many
        else int(seen.count * seen.vector.dim * BYTES[seen.vector.datatype]),
    )


def _computed(seen: Seen, rows: int, many: bool) -> int | None:
    if seen.telemetry is None or many:
        return None
    return mapping.code_bytes(seen.target, seen.vector, rows)


def collection_info(
    looked: Look,
    server: Server,
    count: int,
    counts: Mapping[str, int],
    sizes: Mapping[str, memory.CodeBytes],
) -> CollectionInfo:
    """The whole collection in common words.

    Args:
        count: rows.
        counts: rows that have each vector.
        sizes: what the codes of each take, where the server reports it.
    """
    settings = config.settings(looked.info)
    if looked.real != looked.name:
        settings["alias_of"] = looked.real
    return CollectionInfo(
        name=looked.name,
        count=count,
        vectors={
            name: vector_info(name, looked.seen(name, counts[name], sizes.get(name)), looked)
            for name in counts
        },
        server=server,
        config=settings,
    )
