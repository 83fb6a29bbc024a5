"""Conversion of command line arguments to arguments of the public API."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from qadapt.errors import InputError, SpecError, advice_for
from qadapt.model.address import Address

if TYPE_CHECKING:
    from qadapt.api import Database
    from qadapt.cli.output import Output
    from qadapt.cli.progress import Reporter
    from qadapt.model import Accept, Guard

T = TypeVar("T")
ACCEPTS = ("exact", "differs", "client")
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS.update({f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power})


def open_database(url: str, disable: Iterable[str] | None = None) -> Database:
    """The database at an address."""
    import qadapt as qa

    return qa.open(url, disabled=tuple(disable or ()))


@contextlib.contextmanager
def open_collection(
    out: Output, url: str, disable: Iterable[str] | None = None
) -> Iterator[tuple[Database, Reporter]]:
    """Open the database at an address, and show progress above the output that follows."""
    with open_database(url, disable) as db, out.progress() as on:
        yield db, on
    if out.live:
        out.err.print("")


def read_guard(
    text: str | None,
    clients: str | None = None,
    filter_texts: Iterable[str] | None = None,
    by: str | None = None,
) -> Guard | None:
    """Parse the guard, if given, and the clients and rows that it judges."""
    from qadapt.model import Guard

    given = {"--guard-clients": clients, "--guard-filter": filter_texts, "--guard-by": by}
    if text is None:
        for option, value in given.items():
            if value:
                shown = value if isinstance(value, str) else "..."
                raise InputError(
                    f"{option} has no effect without --guard",
                    hint=f"--guard 'recall@10>=0.95' {option} {shown}",
                )
        return None
    guard = Guard.parse(text)
    if clients is not None:
        guard = guard.replace(clients=clients)
    return guard.replace(filter=read_filters(filter_texts), by=by)


def read_gate(
    text: str | None, k: int | None, clients: str | None = None
) -> tuple[Guard | None, int]:
    """Parse the gate, if given, the number of results (k) of the recall, and the clients to judge.

    Raises:
        SpecError: invalid gate, or ``k`` differs from that of the gate.
        InputError: ``clients`` without a gate.
    """
    if text is None and clients is not None:
        raise InputError(
            "--clients has no effect without --gate",
            hint=f"--gate 'recall@10>=0.95' --clients {clients}",
        )
    gate = read_guard(text, clients)
    if gate is None:
        return None, 10 if k is None else k
    if k is not None and k != gate.k:
        raise SpecError(f"--gate is for recall@{gate.k}, but --k is {k}", hint="leave out --k")
    return gate, gate.k


def read_queries(text: str) -> Any:
    """Number of stored vectors to use as queries, or path of a query file."""
    return int(text) if text.isdecimal() and len(text) < 20 else text


def read_filter(text: str) -> Any:
    """Parse a filter: a JSON object.

    Raises:
        SpecError, InputError
    """
    import json

    hint = """for example --filter '{"topic": "art"}'"""
    try:
        condition = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"--filter is not JSON: {error}", hint=hint) from None
    if not isinstance(condition, dict):
        raise InputError(f"--filter must be a JSON object, got {text}", hint=hint)
    return condition


def read_filters(texts: Iterable[str] | None) -> Any:
    """None without ``--filter``, one filter, or a list if it is repeated."""
    found = [read_filter(text) for text in texts or ()]
    return found if len(found) > 1 else found[0] if found else None


def load_encoder(name: str | None, queries: str) -> Any:
    """Load the encoder for text queries, if given; imports the library of the model.

    Raises:
        InputError: the queries are not texts.
    """
    if name is None:
        return None
    from qadapt.encoder import load
    from qadapt.evaluation.query_input import refuse_encoder

    refuse_encoder(read_queries(queries))
    return load(name)


def check_accept(word: str, words: Sequence[str] = ACCEPTS) -> Accept:
    """One of the words that a command takes: by default ``exact``, ``differs`` or ``client``."""
    if word not in words:
        raise SpecError.unknown("--accept", word, words)
    return cast("Accept", word)


def size(text: str) -> int:
    """Bytes of ``8GB``, ``512MiB`` or ``1000``.

    Raises:
        SpecError
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = None if found is None else _UNITS.get(found[2].lower())
    if found is None or unit is None:
        raise SpecError(
            f"invalid size {text!r}", hint="for example 8GB (10^9), 8GiB (2^30), 512MiB"
        )
    return int(float(found[1]) * unit)


def milliseconds(text: str) -> float:
    """``20ms``, ``0.5s`` or ``20`` as milliseconds.

    Raises:
        SpecError
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|)\s*", text)
    if found is None:
        raise SpecError(f"invalid time {text!r}", hint="for example 20ms or 0.5s")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def confirm_key_variables(
    out: Output, file: Path, addresses: Iterable[Address], given: Iterable[str] | None
) -> tuple[str, ...]:
    """Environment variables that a file may use for keys: those given or confirmed.

    On a terminal the user is asked; otherwise opening the database fails if the variable was not
    given.
    """
    allowed = [*(given or ())]
    for address in addresses:
        name = Address.from_file(address, allowed).unconfirmed_variable
        if name is None or name in allowed:
            continue
        question = f"{file} asks to send the environment variable {name} to {address.location}."
        if out.asks and out.confirm(f"{question} Allow it?"):
            allowed.append(name)
    return tuple(allowed)


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file."""
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _sibling_names(path), n=1)
        guess = f"did you mean {path.with_name(near[0])}? " if near else ""
        raise InputError(f"no {what} {str(path)!r}", hint=f"{guess}{_AS_WORDS}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read the {what} {str(path)!r}: {error}", hint=_AS_WORDS) from None


_AS_WORDS = "pass a file written by `qadapt plan -o`, or URL COLLECTION QUANTIZATION"


def _sibling_names(path: Path) -> list[str]:
    return [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []


def write_text(path: Path, text: str, what: str) -> None:
    """Write an output file."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write the {what} {str(path)!r}: {error.strerror}",
            hint=advice_for(error, "choose another path"),
        ) from None


# -- interrupted measurements --------------------------------------------------------------------


def until_interrupted(measure: Callable[[], T]) -> T:
    """The document of a measurement, or on Ctrl-C of what was measured so far.

    Raises:
        KeyboardInterrupt: nothing was measured yet.
    """
    from qadapt.evaluation.partial import Interrupted

    try:
        return measure()
    except Interrupted as stopped:
        return cast("T", stopped.document)


def partial_results(out: Output, *, resume: bool = True) -> int:
    """Report that the printed results are partial; returns the exit code.

    Args:
        resume: whether the command has ``--resume``.
    """
    from qadapt.cli.output import INTERRUPTED

    again = out.to_continue() if resume else out.again()
    out.warn(f"interrupted: these results are partial; to continue: {again}")
    return INTERRUPTED
