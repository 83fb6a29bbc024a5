"""Lay out the server of the PyPI package ``milvus`` as an image holds it.

    PYTHONPATH=<where the package is> python unpack_milvus.py FOLDER

FOLDER becomes /milvus in the image: programs in bin/, settings in configs/. The package's own
wrapper would unpack 250 MB at each start and choose ports without telling.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DATA = "/var/lib/milvus"


def unpack(folder: Path) -> None:
    """Programs and settings."""
    import milvus as package  # here, so that the file can be read without it

    (folder / "configs").mkdir(parents=True)
    package._initialize_data_files(str(folder))
    for mark in (folder / "bin").glob("*.md5"):
        mark.unlink()
    config: Any = package.MilvusServerConfig()
    config.base_data_dir = str(folder)
    config.set("etcd_log_path", "stdout")
    config.set("system_log_path", "")
    config.set("etcd_data_dir", f"{DATA}/etcd")
    config.set("rocksmq_data_dir", f"{DATA}/rdb_data")
    # Relative to the working folder. With an absolute one the chunk cache of 2.3.5 takes the
    # segment's own file for its copy, and deletes it when the collection is released.
    config.set("local_storage_dir", "data")
    missing = [name for name, (_, value) in config.configurable_items.items() if value is None]
    if missing:
        raise SystemExit(f"settings of the package without a value: {', '.join(missing)}")
    config.write_config()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    unpack(Path(sys.argv[1]))
