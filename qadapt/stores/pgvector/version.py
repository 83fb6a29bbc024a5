"""The installed extension, and its features by version (docs/engines/pgvector.md#versions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model.capabilities import older

OLDEST = "0.5.0"  # hnsw
SINCE_QUANTIZATION = "0.7.0"  # halfvec, bit indexes, binary_quantize
SINCE_ITERATIVE = "0.8.0"  # hnsw.iterative_scan


@dataclass(frozen=True)
class ExtensionVersion:
    """The features of a version; None for the newest."""

    number: str | None = None

    def has(self, since: str) -> bool:
        """Whether the version is ``since`` or newer."""
        return self.number is None or not older(self.number, since)

    def require_oldest(self) -> None:
        """Check that qadapt supports the version.

        Raises:
            UnsupportedError
        """
        if not self.has(OLDEST):
            raise UnsupportedError(
                f"pgvector {self.number} is installed; qadapt requires {OLDEST} or newer",
                hint="ALTER EXTENSION vector UPDATE",
            )


@dataclass(frozen=True)
class Extension:
    """The extension pgvector of a database.

    Attributes:
        version: ``extversion``, such as ``0.8.1``.
        schema: the schema of its types and operators.
        types: OIDs of ``vector``, ``halfvec``, ``sparsevec`` (0 if the version lacks the type).
        others: installed extensions that add index types: ``vectorscale``, ``vchord``.
    """

    version: str
    schema: str
    types: dict[str, int]
    others: tuple[str, ...] = ()


def read_extension(at: Any) -> Extension:
    """The extension of the database of a session.

    Raises:
        UnsupportedError: it is not installed.
    """
    rows = at.execute(
        "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e "
        "JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname IN ('vector', 'vectorscale', 'vchord')"
    ).fetchall()
    found = {name: (version, schema) for name, version, schema in rows}
    if "vector" not in found:
        raise UnsupportedError(
            f"the database {at.info.dbname!r} does not have the extension pgvector",
            hint="as a superuser: CREATE EXTENSION vector",
        )
    version, schema = found.pop("vector")
    types = at.execute(
        "SELECT typname, t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace "
        "WHERE n.nspname = %s AND typname IN ('vector', 'halfvec', 'sparsevec')",
        [schema],
    ).fetchall()
    return Extension(version, schema, dict(types), tuple(sorted(found)))
