"""Search options that the server and the embedded engine share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError

OPTIONS = ("hnsw_ef", "indexed_only")


def check(options: Mapping[str, Any], store: str) -> None:
    """Reject unknown search options.

    Raises:
        SpecError
    """
    for name, value in options.items():
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where=store)
        if name == "hnsw_ef":
            # The server silently accepts 0.
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(
                    f"hnsw_ef must be a positive integer; got {value!r}",
                    hint="for example options={'hnsw_ef': 128}",
                )
        elif not isinstance(value, bool):
            raise SpecError(
                f"{name} must be true or false; got {value!r}",
                hint=f"for example options={{{name!r}: True}}",
            )
