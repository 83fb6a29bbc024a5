"""A collection that the server loads by itself, as it does after a restart: waited for.

Seen on 2.3.5, killed and started on the same folder: healthy after 8 s, the load state then
``Loading`` for 28 s, in which reading and searching are refused as "collection not loaded". One
that somebody released has the state ``NotLoad``, and nobody loads it.

Milvus Lite serves one process, and forgets at its end which collections were loaded.
"""

from __future__ import annotations

from qadapt.errors import BusyError
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import load_state, loaded
from qadapt.stores.polling import Deadline, Wait, poll
from qadapt.stores.store_types import Progress, silent

LIMIT = 120.0


def wait_while_loading(connection: Connection, name: str, limit: float = LIMIT) -> None:
    """Come back when it is loaded, or nobody is at it.

    Raises:
        BusyError: it is still being loaded after ``limit`` seconds.
    """
    poll(
        lambda: load_state(connection, name),
        lambda state: state != "Loading",
        lambda _: Progress(f"waiting until {name!r} is loaded"),
        lambda _: BusyError(
            f"the server loads {name!r}, as after a restart, for more than {limit:g} s",
            hint="try again later; client.get_load_state(name) tells how far it is, and the "
            "server's log why it takes so long",
        ),
        Wait(silent, Deadline(limit)),
    )


def load_in_lite(connection: Connection, name: str) -> None:
    """Load a collection of Lite that is not loaded."""
    if not loaded(connection, name):
        connection.call(f"load {name!r}", connection.client.load_collection, name)
