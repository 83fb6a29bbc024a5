"""Integrations with frameworks.

The frameworks are in a separate environment: `make test-integrations`, which sets
QADAPT_REQUIRE_INTEGRATIONS so that tests cannot be skipped.
"""

from __future__ import annotations

import importlib.util
import os

FRAMEWORKS = (
    *("langchain_core", "langchain_tests", "llama_index", "haystack"),
    *("langchain_milvus", "langchain_postgres", "langchain_qdrant", "langchain_weaviate"),
    *("langchain_elasticsearch", "pgvector", "haystack_integrations"),
)
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
_MISSING = [name for name in FRAMEWORKS if importlib.util.find_spec(name) is None]
if _MISSING and os.environ.get("QADAPT_REQUIRE_INTEGRATIONS"):
    raise RuntimeError(f"QADAPT_REQUIRE_INTEGRATIONS is set, and these are missing: {_MISSING}")
