"""Files in and out: Parquet, .npy and .fvecs, in pages, whole or not at all."""

from __future__ import annotations

from qadapt.files.export import Exported, export_file
from qadapt.files.file_import import Imported, import_file

__all__ = ["Exported", "Imported", "export_file", "import_file"]
