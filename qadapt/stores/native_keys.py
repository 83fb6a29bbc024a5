"""Checks of the native settings of a quantization."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qadapt.errors import SpecError

_EXAMPLE = 16


def check_native(
    native: Mapping[str, Any],
    keys: Iterable[str],
    store: str,
    *,
    words: Mapping[str, tuple[str, Sequence[str]]],
    integers: Mapping[str, tuple[int, int]],
) -> None:
    """Refuse unknown keys and values.

    Args:
        keys: all keys that the store has.
        words: for keys with one of several words, what they name, and the words.
        integers: the range of keys with an integer.

    Raises:
        SpecError
    """
    for key in native:
        if key not in keys:
            raise SpecError.unknown("native key", str(key), keys, where=store)
    for key, (what, allowed) in words.items():
        if key in native and native[key] not in allowed:
            raise SpecError.unknown(what, str(native[key]), allowed, where=f"native.{key}")
    for key, (least, most) in integers.items():
        value = native.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            example = {**native, key: max(least, min(_EXAMPLE, most))}
            raise SpecError(
                f"{key} must be an integer from {least:,} to {most:,}; got {value!r:.40}",
                hint=f"for example native={json.dumps(example, default=str)}",
            )
