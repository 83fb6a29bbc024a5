"""A migration in a process of its own, to be killed: ``kill_child.py SOURCE TARGET LOG``.

Each read page and each write is a line of the log, on disk before it is done.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import qadapt as qa
from qadapt.migration import probe
from qadapt.migration.endpoint import opened


def main(source: str, target: str, path: str) -> None:
    """Migrate with small batches."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(what: str, ids: Any) -> None:
        os.write(log, (json.dumps([what, list(ids)]) + "\n").encode())

    with opened(source) as here, opened(target) as there:
        read, write = here.store.read, there.store.write

        def logged_read(*args: Any, **options: Any) -> Iterator[qa.Batch]:
            for page in read(*args, **options):
                if options.get("vectors") and options["page"] != probe.ROWS:
                    tell("read", page.ids)
                yield page

        def logged_write(name: str, batch: qa.Batch) -> None:
            tell("write", batch.ids)
            write(name, batch)

        here.store.read = logged_read  # type: ignore[method-assign]
        there.store.write = logged_write  # type: ignore[method-assign]
        tell("begun", [])
        done = qa.migrate(
            here, there, batch_bytes=1 << 13, workers=2, probe=False, check="off"
        )  # fmt: skip
        tell("done", [done.metrics.rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
