"""A migration that kills itself at a given moment of the bulk load.

    bulk_load_child.py SOURCE TARGET FILE MOMENT

The embedded engine builds no index during a load, so a file that holds ``on`` or ``off`` represents
the setting of a server.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qadapt as qa
from qadapt.migration.endpoint import open_endpoint
from qadapt.stores.qdrant.edge.store import EdgeStore


def main(source: str, target: str, path: str, when: str) -> None:
    """Migrate, and die at a moment: ``begun``, ``copying``, ``ended``, or ``never``."""
    switch = Path(path)
    writes = 0

    def die(at: str) -> None:
        if at == when:
            os.kill(os.getpid(), signal.SIGKILL)

    def begin(*_: Any) -> None:
        switch.write_text("off")
        die("begun")

    def end(store: Any, name: str, former: Mapping[str, Any]) -> None:
        switch.write_text(former["was"])
        die("ended")

    with open_endpoint(source) as here, open_endpoint(target) as there:
        write = there.store.write

        def counted(name: str, batch: qa.Batch) -> None:
            nonlocal writes
            assert switch.read_text() == "off"
            write(name, batch)
            writes += 1
            if writes == 3:
                die("copying")

        there.store.write = counted  # type: ignore[method-assign]
        EdgeStore.bulk_load_settings = lambda *_: {"was": switch.read_text()}  # type: ignore[method-assign]
        EdgeStore.begin_bulk_load = begin  # type: ignore[method-assign,assignment]
        EdgeStore.end_bulk_load = end  # type: ignore[method-assign,assignment]
        done = qa.migrate(here, there, batch_bytes=1 << 12, trial_copy=False, workers=1)
        assert done.state == "done"


if __name__ == "__main__":
    main(*sys.argv[1:])
