"""Copy with vdf-io between these databases; requires vdf-io.

    python with_vdf_io.py '{"source": "weaviate", "target": "milvus", "milvus": "http://...", ...}'

Prints ``{"failed": ...}`` for a step that fails, with its error. Its importer of Milvus
alone is timed: ``{"seconds": ..., "rows": ..., "only": "import"}``, from a VDF folder that is
written here by hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

os.environ["DISABLE_TELEMETRY_VECTORIO"] = "1"

import numpy as np
import pandas as pd
from pymilvus import connections, utility
from vdf_io import __version__
from vdf_io.meta_types import NamespaceMeta, VDFMeta


def main() -> None:
    """Export, then import."""
    asked = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with contextlib.redirect_stdout(sys.stderr):
            found = [exported(asked), imported(asked)]
    for each in found:
        print(json.dumps(each))


def exported(asked: dict[str, Any]) -> dict[str, Any]:
    """Its exporter of the source."""
    arguments = {"uri": asked["milvus"], "token": "", "url": "http://127.0.0.1", "api_key": "none"}
    arguments |= {"collections": asked["name"], "library_version": __version__}
    try:
        if asked["source"] == "milvus":
            from vdf_io.export_vdf.milvus_export import ExportMilvus as Export
        else:
            from vdf_io.export_vdf.weaviate_export import ExportWeaviate as Export
        Export(arguments).get_data()
    except Exception as error:  # noqa: BLE001 - reported unchanged
        return {"failed": f"export from {asked['source']}: {type(error).__name__}: {error}"}
    return {}


def imported(asked: dict[str, Any]) -> dict[str, Any]:
    """Its importer of the target."""
    if asked["target"] != "milvus":
        return {"failed": f"import to {asked['target']}: vdf-io {__version__} has no such importer"}
    from vdf_io.import_vdf.milvus_import import ImportMilvus

    name, rows = asked["name"], asked["rows"]
    folder = written(name, rows, asked["dim"])
    arguments = {"uri": asked["milvus"], "token": "", "dir": str(folder), "cwd": str(folder)}
    begun = time.perf_counter()
    made = ImportMilvus({**arguments, "library_version": __version__})
    try:
        made.upsert_data()
        spent = time.perf_counter() - begun
    finally:
        connections.connect(uri=asked["milvus"])
        utility.drop_collection(name)
    return {"seconds": spent, "rows": made.total_imported_count, "only": "import"}


def written(name: str, rows: int, dim: int) -> Path:
    """A VDF folder of one collection."""
    folder = Path.cwd() / "vdf"
    (folder / name).mkdir(parents=True)
    vectors = np.random.default_rng(1).standard_normal((rows, dim)).astype(np.float32)
    frame = pd.DataFrame(
        {
            "id": [str(uuid.UUID(int=at)) for at in range(rows)],
            "vector": list(vectors),
            "n": range(rows),
            "text": [f"row {at}" for at in range(rows)],
        }
    )
    frame.to_parquet(folder / name / "1.parquet")
    about = NamespaceMeta(
        namespace="",
        index_name=name,
        total_vector_count=rows,
        exported_vector_count=rows,
        dimensions=dim,
        model_name="none",
        vector_columns=["vector"],
        data_path=name,
        metric="Dot",
    )
    meta = VDFMeta(
        version=__version__,
        file_structure=[],
        author="qadapt",
        exported_from="milvus",
        indexes={name: [about]},
        exported_at="",
        id_column="id",
    )
    (folder / "VDF_META.json").write_text(json.dumps(meta.model_dump()), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
