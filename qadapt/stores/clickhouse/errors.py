"""Errors of ClickHouse, translated to those of qadapt by their number."""

from __future__ import annotations

import re

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    QadaptError,
    StoreError,
    TransientError,
    UnsupportedError,
)

_CODE = re.compile(r"Code: (\d+)\. ?(?:DB::Exception: )?(.*)", re.S)
_VERSION = re.compile(r"\s*\(version [^)]*\)\s*$")

ONE_FOLDER = (
    "chdb has one data folder per process: close the other database first, or use another process"
)
OTHER_PROCESS = (
    "another process has the folder open, and chdb has one process per folder: end it, or start a "
    "server and use clickhouse+http://HOST:8123"
)
INDEX_SETTING = "set enable_vector_similarity_index = 1 for the user, or in the server's profile"
CODEC_SETTING = "set enable_quantized_codec = 1 for the user, or in the server's profile"

# Number of the error, a part of its message in lower case, class, and what to do next.
_RULES: tuple[tuple[int, str, type[QadaptError], str], ...] = (
    (36, "already initialized with path", StoreError, ONE_FOLDER),
    (36, "error initializing embeddedserver", BusyError, OTHER_PROCESS),
    (36, "enable_quantized_codec", UnsupportedError, CODEC_SETTING),
    (344, "vector", UnsupportedError, INDEX_SETTING),
    (344, "", UnsupportedError, "the message names the setting that the server requires"),
    (57, "", AlreadyExistsError, "choose another name"),
    (60, "", NotFoundError, "`qadapt inspect ADDRESS` lists the tables with vectors"),
    (81, "", NotFoundError, "name an existing database: ?database=NAME"),
    (80, "vector", InputError, "use finite vectors with the dimensions of the index"),
    (117, "", InputError, "use finite vectors with the dimensions of the index"),
    (190, "", InputError, "use vectors with the dimensions of the codec"),
    (433, "", InputError, "the number of segments must divide the dimensions"),
    (469, "", InputError, "use vectors with the dimensions of the table"),
    (524, "", UnsupportedError, "a codec is fixed at creation: `qadapt apply` copies the table"),
    (497, "", AuthError, "grant the user this right"),
    (516, "", AuthError, "check user and password: ?user=NAME and CLICKHOUSE_PASSWORD"),
    (164, "", AuthError, "the user is read-only: use another one for changes"),
    (241, "", StoreError, "send fewer rows, or raise max_memory_usage or the memory of the server"),
    (243, "", StoreError, "free disk space, then try again"),
    (252, "", TransientError, "write larger batches, so that merges keep up"),
    (159, "", TransientError, "raise max_execution_time"),
    (202, "", TransientError, "try again when fewer queries run"),
    (209, "", TransientError, "try again"),
    (210, "", TransientError, "try again"),
)


def number_of(words: str) -> int | None:
    """The number of an error of the engine; None for another text."""
    found = _CODE.search(words)
    return int(found[1]) if found else None


def translate(words: str, doing: str) -> QadaptError:
    """The error of qadapt for a message of the engine.

    Args:
        doing: the attempted action, such as ``"write to 'articles'"``.
    """
    found = _CODE.search(words)
    number, text = (int(found[1]), found[2]) if found else (0, words)
    message = f"could not {doing}: {_VERSION.sub('', text.strip())}"
    for code, part, kind, hint in _RULES:
        if code == number and part in text.lower():
            return kind(message, hint=hint)
    return StoreError(message, hint="docs/clickhouse.md lists the limits of ClickHouse")
