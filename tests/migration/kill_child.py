"""A migration in a subprocess, to be killed.

    kill_child.py SOURCE TARGET LOG

Each page that is read and each write is one line of the log, written beforehand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import qadapt as qa
from qadapt.migration import trial_copy
from qadapt.migration.endpoint import open_endpoint
from qadapt.stores.base import ALL_ROWS, ReadRequest


def main(source: str, target: str, path: str) -> None:
    """Migrate with small batches."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(what: str, ids: Any) -> None:
        os.write(log, (json.dumps([what, list(ids)]) + "\n").encode())

    with open_endpoint(source) as here, open_endpoint(target) as there:
        read, write = here.store.read, there.store.write

        def logged_read(name: str, request: ReadRequest = ALL_ROWS) -> Iterator[qa.Batch]:
            for page in read(name, request):
                if request.vectors and request.page != trial_copy.ROWS:
                    tell("read", page.ids)
                yield page

        def logged_write(name: str, batch: qa.Batch) -> None:
            tell("write", batch.ids)
            write(name, batch)

        here.store.read = logged_read  # type: ignore[method-assign]
        there.store.write = logged_write  # type: ignore[method-assign]
        tell("begun", [])
        done = qa.migrate(
            here, there, batch_bytes=1 << 13, workers=2, trial_copy=False, check="off"
        )  # fmt: skip
        tell("done", [done.metrics.rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
