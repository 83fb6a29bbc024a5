"""Reproducible corruptions of the files of a state folder."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Damage = tuple[str, Callable[[], None]]

# Replacements of a value.
WRONG: tuple[Any, ...] = (
    None, True, -1, 10**30, 1e308, "", "x", [], {}, [None], {"a": {"b": [None]}}, "\ud800",
    "1970-99-99T99:99:99", float("nan"),
)  # fmt: skip
NESTED = b'{"a":' * 30_000


def of_file(path: Path, seed: int = 0) -> Iterator[Damage]:
    """Corruptions of any file; each is applied to the intact file."""
    rng = random.Random(seed)
    good = path.read_bytes()

    def put(content: bytes) -> Callable[[], None]:
        return lambda: _write(path, content)

    yield "gone", path.unlink
    yield "empty", put(b"")
    yield "a folder", lambda: _as_folder(path)
    yield "binary", put(bytes(rng.randrange(256) for _ in range(300)))
    yield "zeros", put(b"\0" * len(good))
    yield "nested", put(NESTED + b"\n")
    for text in (b"null", b"[]", b"0", b'""', b"{}", b"1e999", b"9" * 5000, b"\xff\xfe"):
        yield f"holds {text[:10]!r}", put(text + b"\n")
    for _ in range(12):
        end = rng.randrange(len(good))
        yield f"cut at {end}", put(good[:end])
    for _ in range(25):
        at, bit = rng.randrange(len(good)), 1 << rng.randrange(8)
        yield f"bit {bit} of byte {at}", put(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
    for _ in range(6):
        at = rng.randrange(len(good))
        yield f"a byte more at {at}", put(good[:at] + b"}" + good[at:])


def of_json(path: Path, seed: int = 0) -> Iterator[Damage]:
    """Missing keys, values of other types, and unknown keys in a JSON document."""
    document = json.loads(path.read_bytes())
    for name, changed in _changed(document, seed):
        text = json.dumps(changed).encode()
        yield name, lambda text=text: _write(path, text)  # type: ignore[misc]


def of_lines(path: Path, seed: int = 0) -> Iterator[Damage]:
    """The same for each line of a journal; and lines lost, doubled, moved."""
    lines = path.read_bytes().splitlines()

    def put(changed: list[bytes]) -> Callable[[], None]:
        return lambda: _write(path, b"".join(line + b"\n" for line in changed))

    for at, line in enumerate(lines):
        for name, changed in _changed(json.loads(line), seed + at, few=True):
            text = json.dumps(changed).encode()
            yield f"line {at}: {name}", put([*lines[:at], text, *lines[at + 1 :]])
        yield f"line {at} lost", put(lines[:at] + lines[at + 1 :])
        yield f"line {at} doubled", put([*lines[:at], line, *lines[at:]])
        yield f"line {at} at the end", put([*lines[:at], *lines[at + 1 :], line])
    yield "reversed", put(lines[::-1])
    yield (
        "without sums",
        put([json.dumps({**json.loads(line), "sum": "0"}).encode() for line in lines]),
    )


def _changed(document: Any, seed: int, *, few: bool = False) -> Iterator[tuple[str, Any]]:
    rng = random.Random(seed)
    for place in list(_places(document)):
        label = ".".join(map(str, place))
        if not few or rng.random() < 0.5:
            yield f"{label} gone", _with(document, place, None, gone=True)
        for value in rng.sample(WRONG, 1 if few else 2):
            yield f"{label} is {value!r:.30}", _with(document, place, value)
    yield "a key nobody knows", {**document, "new": 1}
    yield "a newer format", {**document, "format": 99, "qadapt": "99.1"}


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*at, key)
        yield from _places(inner, (*at, key))


def _with(document: Any, place: tuple[Any, ...], value: Any, *, gone: bool = False) -> Any:
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if gone:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
