"""Import and export of Parquet, .npy and .fvecs files, page by page and atomically."""

from __future__ import annotations

from qadapt.files.export import Exported, export_file
from qadapt.files.file_import import Imported, import_file

__all__ = ["Exported", "Imported", "export_file", "import_file"]
