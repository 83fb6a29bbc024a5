"""What a client without qadapt sends for the same results, and code that sends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Vector
from qadapt.model.address import Address

# Code with this comment takes queries with all dimensions.
CUTS = "# all dimensions"


@dataclass(frozen=True)
class ClientSearch:
    """The request of a client for the results that qadapt returns.

    Attributes:
        limit: number of results to request; more than ``k`` if candidates are rescored.
        params: the database's own search parameters; empty if none must be sent.
        rescores: the client must score the results again with the original vectors, which the
            database does not do.
        details: what the code of a form needs, such as the name of a field.
        sql: the results depend on the SQL of the search; a form of the language ``sql`` writes it.
    """

    limit: int
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rescores: bool = False
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sql: bool = False


@dataclass(frozen=True)
class ClientCode:
    """What the code of a form is made from.

    Attributes:
        address: address of the database.
        collection: name of the collection.
        name: name of the vector; ``""`` for the unnamed one.
        vector: its dimensions, metric and datatype.
        k: number of results.
        search: the request.
        full_vector: the vector of the same rows whose first dimensions the vector holds, with which
            the candidates are scored again; None if there is none.
    """

    address: Address
    collection: str
    name: str
    vector: Vector
    k: int
    search: ClientSearch
    full_vector: str | None = None

    @property
    def opened(self) -> str | None:
        """Absolute path of a local database; None for a server or a database in memory."""
        return str(self.address.path.absolute()) if self.address.is_local else None

    @property
    def key_variable(self) -> str | None:
        """Environment variable with the API key; None if the address has no key."""
        if self.address.options.get("key_env"):
            return self.address.options["key_env"]
        return self.address.usual_key_variable if self.address.secret() else None


@dataclass(frozen=True)
class ClientForm:
    """A client library or protocol, and the function that writes code for it.

    The code defines ``search(query)``, which returns the ids of the ``k`` best rows: a Python
    function, or a shell function whose argument is a JSON list and whose output is JSON.

    Attributes:
        name: as in ``qadapt client-params --for``, such as ``qdrant-client``.
        language: ``python``, ``shell`` or ``sql``.
        write: returns the code; None if the form cannot be used for this database or vector.
    """

    name: str
    language: str
    write: Callable[[ClientCode], str | None]


def literal(value: Any) -> str:
    """JSON of a value, as shown in code and messages."""
    return json.dumps(value, ensure_ascii=False)
