"""Base class of stores that use the Python client of their database."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from qadapt.errors import StoreError
from qadapt.model import Capabilities, CollectionInfo, Hits, Server
from qadapt.model.address import Address
from qadapt.stores import forks
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import PreparedSearch, Store
from qadapt.stores.row_batches import with_payloads


class Client(Protocol):
    """A client, which the store or the user opened, and its server."""

    @property
    def version(self) -> str | None: ...

    @property
    def deployment(self) -> str: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Client)


class ClientStore(Store, Generic[C]):
    """A store whose client was opened from an address or by the user."""

    def __init__(self, address: Address, connection: C, *, disabled: Sequence[str] = ()) -> None:
        super().__init__(address, disabled=disabled)
        self._connection = connection
        self._pid = os.getpid()
        forks.leave_to_parent(connection)

    @property
    def connection(self) -> C:
        """The client with its errors translated to those of qadapt.

        Raises:
            StoreError: the client was opened by the parent process.
        """
        if self._forked:
            raise StoreError(
                f"{self.address} was opened in the parent process {self._pid}; its sockets and "
                "threads cannot be used after a fork",
                hint=forks.SPAWN
                if forks.started_by_parent(self.profile.package)
                else f"open it in this process: qa.open({str(self.address)!r}); or {forks.SPAWN}",
            )
        return self._connection

    @property
    def _forked(self) -> bool:
        return self._pid != os.getpid() and not self.survives_fork(self._connection)

    def survives_fork(self, connection: C) -> bool:
        """Whether a forked process may use the parent's client."""
        return False

    @classmethod
    def wraps(cls, client: object) -> bool:
        return type(client).__module__.partition(".")[0] == cls.profile.package

    def close(self) -> None:
        if not self._forked:  # otherwise the parent closes it
            self._connection.close()

    def server(self) -> Server:
        return Server(self.name, self.connection.version, self.connection.deployment)

    def capabilities(self) -> Capabilities:
        found = self.profile.declared_capabilities(
            self.connection.version, self.connection.deployment
        )
        return found.disable(self.disabled)

    def info(self, collection: str) -> CollectionInfo:
        return self.inspect(collection).info

    def with_payloads(self, collection: str, hits: Hits) -> Hits:
        """The hits, with payloads that are fetched by id."""
        return with_payloads(
            hits, lambda ids: self.fetch(collection, ids, vectors=(), payload=True)
        )


def prepared_search(
    search: Callable[[Any], Hits], unchanged: Callable[[], bool], too_large: type[StoreError]
) -> PreparedSearch:
    """A search that answers None once the collection may have changed.

    Args:
        unchanged: whether the layout from which ``search`` was made is still the cached one.
        too_large: raised by ``search`` for an answer that exceeds the limit of one message; the
            answer is then None, too.
    """

    def prepared(queries: Any) -> Hits | None:
        if not unchanged():
            return None
        try:
            return search(queries)
        except too_large:
            return None

    return _Awaited(prepared, search, unchanged) if isinstance(search, AwaitedSearch) else prepared


class _Awaited(AwaitedSearch):
    """A prepared search whose ``search`` can be awaited."""

    def __init__(
        self, prepared: PreparedSearch, search: AwaitedSearch, unchanged: Callable[[], bool]
    ) -> None:
        self._prepared = prepared
        self._search = search
        self._unchanged = unchanged

    def __call__(self, queries: Any) -> Hits | None:
        return self._prepared(queries)

    async def awaited(self, queries: Any) -> Hits | None:
        return await self._search.awaited(queries) if self._unchanged() else None
