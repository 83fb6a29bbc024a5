"""Wait for a collection that the server is loading, and load collections of Milvus Lite.

A server loads its collections after a restart. Run on 2.3.5, killed and restarted: healthy after
8 s, then 28 s in the load state ``Loading``, in which reads and searches fail with "collection not
loaded". A released collection has the state ``NotLoad`` and is not loaded.

Milvus Lite serves one process and does not store which collections were loaded.
"""

from __future__ import annotations

from qadapt.errors import BusyError
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import load_state, loaded
from qadapt.stores.polling import Deadline, Wait, poll
from qadapt.stores.store_types import Progress, silent

LIMIT = 120.0


def wait_while_loading(connection: Connection, name: str, limit: float = LIMIT) -> None:
    """Wait while the server loads a collection; return at once if it does not.

    Raises:
        BusyError: still loading after ``limit`` seconds.
    """
    poll(
        lambda: load_state(connection, name),
        lambda state: state != "Loading",
        lambda _: Progress(f"waiting until {name!r} is loaded"),
        lambda _: BusyError(
            f"the server is still loading {name!r} after {limit:g} s, as it does after a restart",
            hint="try again later; client.get_load_state(name) shows the progress, and the server "
            "log shows why loading takes long",
        ),
        Wait(silent, Deadline(limit)),
    )


def load_in_lite(connection: Connection, name: str) -> None:
    """Load a collection of Milvus Lite unless it is loaded."""
    if not loaded(connection, name):
        connection.call(f"load {name!r}", connection.client.load_collection, name)
