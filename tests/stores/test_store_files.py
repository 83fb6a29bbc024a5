"""Every store folder has the same file names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import qadapt.stores

STORES = Path(qadapt.stores.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
FOLDERS = sorted(
    path.parent.relative_to(STORES).as_posix() for path in STORES.glob("*/**/__init__.py")
)
# The files of a small store, and further files of a large one.
COMMON = {
    "profile", "mapping", "schema", "filters", "snapshot", "changes", "rows", "search",
    "connection", "store",
}  # fmt: skip
LARGE = {
    "collections", "aliases", "partitions", "payload", "payload_indexes", "payload_schema",
    "copy_switch", "copy_schema", "copy_rows", "vector_index", "status", "errors", "version",
    "diagnostics", "ids", "memory", "bulk_load", "cost_model", "quantizer_models",
    "change_counter", "client_code", "row_counts", "settings", "scan_ranges", "extra_vectors",
    "placement", "copy_dims", "prepared_search", "named_vectors",
}  # fmt: skip
# Files for what one engine alone has, named after the engine's term.
OF_ONE_ENGINE = {
    "qdrant": {"date_ranges", "integer_ranges", "indexing_threshold"},
    "qdrant/edge": {"disk_space", "optimize", "optimize_worker", "segment_files"},
    "qdrant/server": {
        "grpc_search", "local_mode", "metadata", "optimizations", "rest_search", "strict_mode",
        "telemetry",
    },
    "milvus": {
        "binary_sidecar", "duplicate_ids", "index_params", "json_existence", "list_ranges", "lite",
        "lite_servers",
        "loading", "native_mapping", "search_params", "sparse", "vector_layout",
    },
    "pgvector": {
        "binary_format", "catalogs", "column_type", "index_build", "index_operations",
        "awaited_sessions", "ranked_rows", "session_settings", "statements",
    },
    "lancedb": {"rabitq"},
    "elastic": {"filter_terms", "product", "refreshes"},
    "elastic/elasticsearch": {"code_record", "in_place"},
    "elastic/opensearch": set(),
    "sqlite_vec": {"chunks", "code_tables", "table_rebuild"},
    "chroma": {"graph_file"},
    "clickhouse": {"bit_planes", "http_transport", "native_format", "product_model", "rotation"},
    "weaviate": {
        "cursor", "dimensions", "layout_reader", "multivectors", "native_rescore",
        "schema_update", "vector_index_config",
    },
}  # fmt: skip


def _files(folder: str) -> set[str]:
    return {path.stem for path in (STORES / folder).glob("*.py")} - {"__init__"}


def test_every_store_folder_declares_its_own_files() -> None:
    assert set(OF_ONE_ENGINE) == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_store_folder_has_common_names_only(folder: str) -> None:
    assert _files(folder) - COMMON - LARGE - OF_ONE_ENGINE[folder] == set()
    assert OF_ONE_ENGINE[folder] <= _files(folder)


def test_names_of_one_engine_are_not_common() -> None:
    declared = [name for names in OF_ONE_ENGINE.values() for name in names]
    assert len(declared) == len(set(declared))
    assert not set(declared) & (COMMON | LARGE)
    assert set().union(*(_files(folder) for folder in FOLDERS)) >= COMMON | LARGE


def test_the_architecture_page_lists_the_common_names() -> None:
    section = DOCS.read_text().split("## Files of a store")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= COMMON | LARGE
