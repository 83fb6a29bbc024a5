"""A store behind the Python client of its database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from qadapt.model import Capabilities, Server
from qadapt.model.address import Address
from qadapt.stores.base import Store


class Client(Protocol):
    """A client, ours to close or the user's, and what answers it."""

    @property
    def version(self) -> str | None: ...

    @property
    def deployment(self) -> str: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=Client)


class ClientStore(Store, Generic[C]):
    """A store whose client was opened from an address, or brought by the user.

    Attributes:
        connection: the client, and calls of it whose errors are those of qadapt.
    """

    def __init__(self, address: Address, connection: C, *, disabled: Sequence[str] = ()) -> None:
        super().__init__(address, disabled=disabled)
        self.connection = connection

    @classmethod
    def wraps(cls, client: object) -> bool:
        return type(client).__module__.partition(".")[0] == cls.package

    def close(self) -> None:
        self.connection.close()

    def server(self) -> Server:
        return Server(self.name, self.connection.version, self.connection.deployment)

    def capabilities(self) -> Capabilities:
        found = self.declared(self.connection.version, self.connection.deployment)
        return found.disable(self.disabled)
