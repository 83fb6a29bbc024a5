"""Shared parts of commands: common options, time limit and error handling."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer

from qadapt.cli import interrupts, logs
from qadapt.cli.output import Output
from qadapt.cli.scans import scan_settings
from qadapt.distribution import warn_of_namesake
from qadapt.errors import QadaptError, SpecError, StorageError, StoreTimeoutError
from qadapt.model.address_text import with_option
from qadapt.model.credentials import INSECURE_VARIABLE

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to standard output.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors to standard error.")
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Show evidence and logs; -vv shows more.",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="Time limit."),
]
NoColorOption = Annotated[
    bool, typer.Option("--no-color", help="Disable colors (also: NO_COLOR=1).")
]

LogJsonOption = Annotated[
    bool,
    typer.Option("--log-json", help="Log to standard error as JSON lines (also: QADAPT_LOG=json)."),
]
InsecureOption = Annotated[
    bool,
    typer.Option("--insecure", help="Allow keys to be sent over plain http to other hosts."),
]

_COMMON: dict[str, tuple[Any, Any]] = {
    "json": (JsonOption, False),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, 0),
    "timeout": (TimeoutOption, None),
    "no_color": (NoColorOption, False),
    "log_json": (LogJsonOption, False),
    "insecure": (InsecureOption, False),
}

# Arguments that are the address of a database, of which --id names the column of ids.
_ADDRESSES = ("url", "source")
IdOption = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="COLUMN",
        help="Id column of a table that qadapt did not create (also: ?id=COLUMN).",
        show_default=False,
    ),
]

# Arguments that name what a command is about; the log contains them, without keys.
_SUBJECTS = ("url", "source", "target", "file", "collection")

OWN_LIMIT = 3600.0  # seconds; default of commands that apply the limit themselves
_LONGEST = 10_000_000.0  # seconds; about the maximum of an alarm

Command = Callable[..., int | None]

# The current command line, for messages that repeat it.
typed: list[str] = []


def command(
    app: typer.Typer, name: str, *, examples: str = "", own_limit: bool = False
) -> Callable[[Command], Command]:
    """Register ``function(out, ...)`` as a command that also takes the common options.

    Args:
        examples: command lines, one per line, shown at the end of the help.
        own_limit: the command applies ``out.timeout`` itself; otherwise it is interrupted.
    """

    def register(function: Command) -> Command:
        wrapped = _with_common(function, name, own_limit)
        help_text = inspect.cleandoc(function.__doc__ or "")
        if examples:
            lines = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
            help_text += f"\n\n\b\nExamples:\n{lines}"
        app.command(name, help=help_text)(wrapped)
        return function

    return register


_FLAGS = {
    *("--json", "--log-json", "--quiet", "-q", "--verbose", "-v", "-vv"),
    *("--no-color", "--insecure"),
}


def after_the_command(words: Sequence[str]) -> list[str]:
    """Move common options behind the command: ``--json inspect URL`` is ``inspect --json URL``."""
    first = 0
    while first < len(words) and words[first] in _FLAGS:
        first += 1
    if first in (0, len(words)) or words[first].startswith("-"):
        return list(words)
    return [words[first], *words[:first], *words[first + 1 :]]


def output_of(words: Sequence[str]) -> Output:
    """Output for usage errors, which occur before options are parsed."""
    own = list(words)[: list(words).index("--")] if "--" in words else words
    return Output(
        json="--json" in own,
        quiet="--quiet" in own or "-q" in own,
        verbose=own.count("-v") + own.count("--verbose") + 2 * own.count("-vv"),
        color="--no-color" not in own,
        words=words,
        log_json="--log-json" in own,
    )


def _with_common(function: Command, name: str, own_limit: bool) -> Command:
    # Not typing.get_type_hints: before Python 3.11 it wraps arguments with the default None in
    # Optional, which hides typer's annotations.
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    parameters = parameters[1:]  # without ``out``
    names = [each.name for each in parameters]
    address = None if "id" in names else next((each for each in _ADDRESSES if each in names), None)
    options = _COMMON if address is None else _COMMON | {"id": (IdOption, None)}

    @functools.wraps(function)
    def run(**values: Any) -> None:
        common = {key: values.pop(key) for key in _COMMON}
        if address is not None and (column := values.pop("id")) and values[address]:
            values[address] = with_option(values[address], "id", column)
        color = not common.pop("no_color")
        insecure = common.pop("insecure")
        out = Output(color=color, words=typed, **common)
        with _allowing_insecure(insecure), scan_settings(out), out.logs():
            where: dict[str, Any] = {key: values[key] for key in _SUBJECTS if values.get(key)}
            begun = time.monotonic()
            logs.record(logging.INFO, "command started", command=name, **where)
            code = run_guarded(out, lambda: function(out, **values), own_limit=own_limit)
            where |= {"exit_code": code, "seconds": round(time.monotonic() - begun, 3)}
            logs.record(logging.INFO, "command finished", command=name, **where)
            raise typer.Exit(code)

    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [item.replace(kind=keyword) for item in parameters]
        + [
            inspect.Parameter(key, keyword, default=default, annotation=annotation)
            for key, (annotation, default) in options.items()
        ]
    )
    run.__annotations__ = {
        **{item.name: item.annotation for item in parameters},
        **{key: annotation for key, (annotation, _) in options.items()},
    }
    return run


def run_guarded(out: Output, work: Callable[[], int | None], *, own_limit: bool = True) -> int:
    """Run ``work``; errors are printed and converted to an exit code."""
    with out.logs():  # errors are logged, too
        return _guarded(out, work, own_limit=own_limit)


def _guarded(out: Output, work: Callable[[], int | None], *, own_limit: bool) -> int:
    try:
        logs.check_environment()
        if out.timeout is not None and not 0 < out.timeout < _LONGEST:
            raise SpecError(
                f"--timeout is a number of seconds above 0; got {out.timeout:g}",
                hint="for example --timeout 60",
            )
        with out.warnings(), _limit(None if own_limit else out.timeout):
            warn_of_namesake()
            return work() or 0
    except typer.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        # The reader closed the pipe (`| head`), so nothing can be printed. The rest of the buffer
        # is discarded when Python flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as error:
        return out.error(error)
    except _TimeUp:
        return out.error(
            StoreTimeoutError(
                f"not done after {out.timeout:g} s", hint="pass a longer limit: --timeout SECONDS"
            )
        )
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            return out.error(error)
        return out.error(StorageError.of(error))
    except MemoryError as error:
        reason = str(error) or "the system has no memory left"
        return out.error(QadaptError(f"not enough memory: {reason}", hint="use fewer rows"))
    except ImportError as error:
        return out.error(KeyboardInterrupt() if interrupts.received() else error)
    except Exception as error:  # noqa: BLE001 - top level: reported as a bug, traceback with -v
        return out.error(error)


@contextlib.contextmanager
def _allowing_insecure(allowed: bool) -> Iterator[None]:
    """Apply ``--insecure`` to this process and its subprocesses."""
    before = os.environ.get(INSECURE_VARIABLE)
    if allowed:
        os.environ[INSECURE_VARIABLE] = "1"
    try:
        yield
    finally:
        if allowed and before is None:
            del os.environ[INSECURE_VARIABLE]
        elif allowed and before is not None:
            os.environ[INSECURE_VARIABLE] = before


class _TimeUp(BaseException):
    """Time limit exceeded; not an Exception, so that no code retries or swallows it."""


@contextlib.contextmanager
def _limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the block after ``seconds``, on platforms with alarm signals."""
    alarm = getattr(signal, "setitimer", None)
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or alarm is None or not main:
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    alarm(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        alarm(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
