"""Quantizations as strings such as ``binary:query_bits=8,rescore=4``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import synonyms
from qadapt.model.quantization_options import (
    COMMON,
    NATIVE,
    OMITTED_BITS,
    OPTIONS,
    Kind,
    is_number,
)
from qadapt.model.rescore import CANDIDATES, Rescore, number_text


def read_options(text: Any) -> tuple[Kind, dict[str, Any]]:
    """Kind and options of a string such as ``"binary:query_bits=8"``.

    Raises:
        SpecError: an unknown kind or option, or an option that is given twice.
    """
    if not isinstance(text, str):
        raise SpecError(
            f"a quantization is a string such as 'binary:query_bits=8', got {text!r:.60}",
            hint="pass a string, a mapping with kind, or qa.binary(), qa.scalar(), ...",
        )
    name, _, tail = (part.strip() for part in text.partition(":"))
    word, implied = synonyms.quantization(name)
    if word not in {kind.value for kind in Kind}:
        raise SpecError.unknown("quantization", name, [kind.value for kind in Kind])
    kind, options, named = Kind(word), dict[str, Any](), set[str]()
    for pair in _pairs(tail):
        option, value = _read_pair(pair, kind)
        given = pair.partition("=")[0].strip()
        if given in named:
            raise SpecError(f"{given} is given twice in {text!r}", hint="remove one of them")
        if option in options:
            raise SpecError(
                f"rescore and {CANDIDATES} are both given in {text!r}",
                hint="rescore=4 means 4 x k candidates; candidates=200 means 200 for any k",
            )
        if option in implied and value != implied[option]:
            raise SpecError(
                f"{name!r} has {option}={implied[option]}; got {pair!r}", hint=f"use {word}:{pair}"
            )
        named.add(given)
        options[option] = value
    return kind, {**implied, **options}


def options_text(kind: Kind, options: Mapping[str, Any]) -> str:
    """The string that ``read_options`` parses; options that are None or empty are omitted."""
    parts = []
    for name, value in options.items():
        if value is None or value == {}:
            continue
        if name == "bits" and (kind, value) in OMITTED_BITS:
            continue
        if isinstance(value, Rescore):
            parts.append(value.option)
        elif name == "native":
            parts.append(f"native={json.dumps(value, sort_keys=True, separators=(',', ':'))}")
        else:
            parts.append(f"{name}={number_text(value) if is_number(value) else value}")
    return kind.value + (":" + ",".join(parts) if parts else "")


def _pairs(tail: str) -> list[str]:
    """``a=1,native={"b":[1,2]}`` cut at the commas that are outside of JSON."""
    pairs, depth, start, quoted, escaped = [], 0, 0, False, False
    for at, char in enumerate(tail):
        if quoted:
            quoted, escaped = (char != '"' or escaped), (char == "\\" and not escaped)
        elif char == '"':
            quoted = depth > 0
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
        elif char == "," and depth == 0:
            pairs.append(tail[start:at])
            start = at + 1
    pairs.append(tail[start:])
    return [pair.strip() for pair in pairs if pair.strip()]


def _read_pair(pair: str, kind: Kind) -> tuple[str, Any]:
    option, equals, value = (part.strip() for part in pair.partition("="))
    known = [*OPTIONS[kind], *COMMON]
    if not equals:
        raise SpecError(
            f"{pair!r} is not of the form option=value", hint=f"{kind} has: {', '.join(known)}"
        )
    if option not in known:
        raise SpecError.unknown("option", option, known, where=str(kind))
    if option in ("rescore", CANDIDATES):
        return "rescore", Rescore.of(value if option == "rescore" else f"{option}={value}")
    if option in ("per", "codes", "originals"):
        return option, value
    if option == "native":
        return option, _read_native(value)
    try:
        number = float(value)
    except ValueError:
        raise SpecError(
            f"{option} must be a number, got {value!r}",
            hint=f"omit {option} for the default of the database",
        ) from None
    return option, int(number) if number.is_integer() else number


def _read_native(value: str) -> dict[str, Any]:
    try:
        native = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"native must be a JSON object: {error}", hint=NATIVE) from None
    if not isinstance(native, dict):
        raise SpecError(f"native must be a JSON object, got {value!r}", hint=NATIVE)
    return native
