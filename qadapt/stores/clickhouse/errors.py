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
from qadapt.stores.error_table import AnswerRule, by_table

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

# By the number of the error.
_RULES = (
    AnswerRule(StoreError, ONE_FOLDER, (36,), words=("already initialized with path",)),
    AnswerRule(BusyError, OTHER_PROCESS, (36,), words=("error initializing embeddedserver",)),
    AnswerRule(UnsupportedError, CODEC_SETTING, (36,), words=("enable_quantized_codec",)),
    AnswerRule(UnsupportedError, INDEX_SETTING, (344,), words=("vector",)),
    AnswerRule(UnsupportedError, "the message names the setting that the server requires", (344,)),
    AnswerRule(AlreadyExistsError, "choose another name", (57,)),
    AnswerRule(NotFoundError, "`qadapt inspect ADDRESS` lists the tables with vectors", (60,)),
    AnswerRule(NotFoundError, "name an existing database: ?database=NAME", (81,)),
    AnswerRule(
        InputError, "use finite vectors with the dimensions of the index", (80,), words=("vector",)
    ),
    AnswerRule(InputError, "use finite vectors with the dimensions of the index", (117,)),
    AnswerRule(InputError, "use vectors with the dimensions of the codec", (190,)),
    AnswerRule(InputError, "the number of segments must divide the dimensions", (433,)),
    AnswerRule(InputError, "use vectors with the dimensions of the table", (469,)),
    AnswerRule(
        UnsupportedError, "a codec is fixed at creation: `qadapt apply` copies the table", (524,)
    ),
    AnswerRule(AuthError, "grant the user this right", (497,)),
    AnswerRule(AuthError, "check user and password: ?user=NAME and CLICKHOUSE_PASSWORD", (516,)),
    AnswerRule(AuthError, "the user is read-only: use another one for changes", (164,)),
    AnswerRule(
        StoreError, "send fewer rows, or raise max_memory_usage or the memory of the server", (241,)
    ),
    AnswerRule(StoreError, "free disk space, then try again", (243,)),
    AnswerRule(TransientError, "write larger batches, so that merges keep up", (252,)),
    AnswerRule(TransientError, "raise max_execution_time", (159,)),
    AnswerRule(TransientError, "try again when fewer queries run", (202,)),
    AnswerRule(TransientError, "try again", (209, 210)),
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
    found_error = by_table(_RULES, message, status=number, words=text)
    return found_error or StoreError(
        message, hint="docs/clickhouse.md lists the limits of ClickHouse"
    )
