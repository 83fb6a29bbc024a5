"""Snapshots of a collection: its configuration and the state of its segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qadapt.errors import AuthError, NotFoundError, StoreError
from qadapt.model import CollectionInfo, Server, VectorInfo
from qadapt.model.engine_memory import EngineMemory
from qadapt.stores.qdrant import mapping
from qadapt.stores.qdrant.memory import BYTES, code_bytes
from qadapt.stores.qdrant.search import Codes
from qadapt.stores.qdrant.server import memory, optimizations, schema, telemetry
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import is_outage
from qadapt.stores.qdrant.server.status import Observation, status_of, widest


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of one collection.

    Attributes:
        name: as requested; may be an alias.
        real: the collection of that name.
        info: ``result`` of ``GET /collections/NAME``.
        telemetry: the state of the segments; None if it is not available.
        unobserved: why it is not available.
        optimizations: running and queued optimizations, if the server reports them.
        version: of the server.
        note: a note on the versions of client and server.
        built: the rows from which segments were built, by their uuid; read only if needed.
    """

    name: str
    real: str
    info: Mapping[str, Any]
    telemetry: telemetry.Telemetry | None
    unobserved: str
    optimizations: optimizations.Optimizations | None
    version: str | None
    note: str | None = None
    built: Mapping[str, int] = field(default_factory=dict)

    @property
    def colour(self) -> str:
        """The collection's status: green, yellow, grey or red."""
        return str(self.info.get("status", ""))

    @property
    def optimizer_error(self) -> str:
        """The optimizer's error; empty for none."""
        found = self.info.get("optimizer_status", "ok")
        text = str(found.get("error", found)) if isinstance(found, Mapping) else str(found)
        # 1.9 to 1.11 report here the state that later versions call grey.
        return "" if text == "ok" or "pending" in text else text

    @property
    def idle(self) -> bool:
        """Whether no optimization is running, as far as the server reports."""
        if self.optimizations is not None:
            return not self.optimizations.running
        return self.telemetry is None or not self.telemetry.optimizing

    def observation(
        self, name: str, count: int, sizes: memory.VectorBytes | None = None
    ) -> Observation:
        """The evidence for one vector.

        Args:
            count: number of rows with it.
            sizes: its memory, as the server reports it.
        """
        described = schema.described(self.info)
        return Observation(
            name=name,
            vector=described[name],
            count=count,
            target=schema.in_force(self.info, name),
            threshold=schema.threshold(self.info),
            colour=self.colour,
            optimizer_error=self.optimizer_error,
            version=self.version,
            telemetry=self.telemetry,
            unobserved=self.unobserved,
            optimizations=self.optimizations,
            widest=widest(self.telemetry, described, name),
            note=self.note,
            built=self.built,
            bytes_of=None if sizes is None else sizes.codes,
            graph_bytes=None if sizes is None else sizes.graph,
            config_conflict=schema.config_conflict(self.info, name),
        )

    def codes(self, name: str) -> Codes:
        """The codes that a search of a vector uses, if observable.

        If segments hold different codes, as during a rebuild, the codes whose scores are
        approximate by default are returned.
        """
        if self.telemetry is None:
            target = schema.in_force(self.info, name)
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
        """Whether the segments stay unchanged while the configuration does."""
        observation = self.observation(name, 0)
        built = len(observation.expected) == len(observation.obeying) and not observation.waiting
        return built and self.idle and not observation.stalled


def take_snapshot(
    connection: Connection, name: str, shown: telemetry.Shown | None = None
) -> Snapshot:
    """Read a snapshot of a collection.

    Args:
        shown: the telemetry of all collections, if it was already read.

    Raises:
        NotFoundError: the collection does not exist.
    """
    doing = f"inspect {name!r}"
    names = {"collection_name": name}
    info = connection.ask("GET", "/collections/{collection_name}", doing=doing, names=names)
    pending = optimizations.read(connection, name)
    observation, real, unobserved = _telemetry(
        connection, name, shown or telemetry_of_all(connection)
    )
    version = connection.version
    note = None if version is None else connection.note(version)
    found = Snapshot(name, real, info, observation, unobserved, pending, version, note)
    if any(found.observation(each, 0).unmeasured for each in schema.described(info)):
        return replace(found, built=optimizations.built_from(connection, name))
    return found


def telemetry_of_all(connection: Connection) -> telemetry.Shown:
    """The telemetry of all collections, or why it is not available; a timeout is not a failure."""
    try:
        answer = connection.ask("GET", telemetry.PATH, doing="read telemetry")
    except AuthError as error:
        return telemetry.Shown({}, f"the key has no permission to read telemetry: {error.message}")
    except (StoreError, NotFoundError) as error:
        if is_outage(error):
            raise
        return telemetry.Shown({}, f"telemetry is unavailable: {error.message}")
    return telemetry.Shown(telemetry.collections(answer))


def engine_memory(connection: Connection) -> EngineMemory | None:
    """The memory of the node that answers, if its telemetry contains it."""
    try:
        answer = connection.ask("GET", telemetry.PATH, doing="read telemetry")
    except (StoreError, NotFoundError) as error:
        if is_outage(error):
            raise
        return None  # without permission, or not in time: the figure is only shown beside others
    found = telemetry.resident_bytes(answer)
    return None if found is None else EngineMemory(found, telemetry.RESIDENT)


def _telemetry(
    connection: Connection, name: str, shown: telemetry.Shown
) -> tuple[telemetry.Telemetry | None, str, str]:
    """The telemetry and the real name of a collection, and why there is no telemetry."""
    there = shown.collections
    real = name if name in there else real_name(connection, name)
    if shown.unobserved:
        return None, real, shown.unobserved
    if real not in there:
        return None, real, "the telemetry does not include this collection"
    found = telemetry.of(there[real])
    return found, real, "" if found else "the telemetry includes no segments of this collection"


def aliases(connection: Connection) -> dict[str, str]:
    """The collection of each alias."""
    found = connection.ask("GET", "/aliases", doing="list aliases")
    return {each["alias_name"]: each["collection_name"] for each in found["aliases"]}


def visible_aliases(connection: Connection) -> dict[str, str]:
    """The collection of each alias; empty for a key that is not allowed to list them."""
    try:
        return aliases(connection)
    except AuthError:
        return {}


def real_name(connection: Connection, name: str) -> str:
    """The collection of a name that may be an alias."""
    return visible_aliases(connection).get(name, name)


def vector_info(name: str, observation: Observation, snapshot: Snapshot) -> VectorInfo:
    """Describe one vector in the common format."""
    quantization = mapping.from_native(schema.native(snapshot.info, name))
    each = schema.params(snapshot.info)[name]
    index = dict(observation.indexed[0].index) if observation.indexed else {"type": "plain"}
    many = schema.is_multivector(each)
    if many:
        index["multivector"] = each["multivector_config"].get("comparator", "max_sim")
    codes = sum(segment.rows for segment in observation.segments if segment.codes)
    reported = None if observation.bytes_of is None else observation.bytes_of.held
    return VectorInfo(
        name=name,
        dim=observation.vector.dim,
        metric=observation.vector.metric,
        datatype=observation.vector.datatype,
        count=observation.count,
        index=index,
        quantization=quantization,
        status=status_of(observation),
        default_rescore=mapping.default_rescore(quantization),
        # As the server reports them (since 1.18), otherwise computed from rows; those of original
        # vectors are always computed. A multivector has several vectors per row.
        code_bytes=_computed(observation, codes, many) if reported is None else reported,
        float_bytes=None
        if many
        else int(observation.count * observation.vector.dim * BYTES[observation.vector.datatype]),
        graph_bytes=(observation.graph_bytes or None) if not observation.growing else None,
    )


def _computed(observation: Observation, rows: int, many: bool) -> int | None:
    if observation.telemetry is None or many:
        return None
    return code_bytes(observation.target, observation.vector, rows)


def collection_info(
    snapshot: Snapshot,
    server: Server,
    count: int,
    counts: Mapping[str, int],
    sizes: Mapping[str, memory.VectorBytes],
) -> CollectionInfo:
    """Describe the whole collection in the common format.

    Args:
        count: number of rows.
        counts: number of rows with each vector.
        sizes: the memory of each vector, if the server reports it.
    """
    settings = schema.settings(snapshot.info)
    if snapshot.real != snapshot.name:
        settings["alias_of"] = snapshot.real
    return CollectionInfo(
        name=snapshot.name,
        count=count,
        vectors={
            name: vector_info(
                name, snapshot.observation(name, counts[name], sizes.get(name)), snapshot
            )
            for name in counts
        },
        server=server,
        config=settings,
    )
