"""Output: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from qadapt.cli import logs
from qadapt.errors import QadaptError, QadaptWarning
from qadapt.model.cli_commands import repeated_command

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from qadapt.cli.progress import Reporter

MISSED = 3  # a gate was missed, or compared collections differ
PENDING = 5  # `plan --exit-code`: the plan contains changes
INTERRUPTED = 130
# Wide enough that nothing is wrapped or truncated without a terminal.
_PIPE_WIDTH = 100_000
_LAST = 24  # minimum width of the last column of a table

Justify = Literal["left", "right"]


class Output:
    """Output of a command.

    Args:
        json: one JSON document on standard output instead of text.
        quiet: only errors on standard error.
        verbose: number of ``-v``.
        color: False disables colors.
        timeout: the given time limit, in seconds.
        words: the typed arguments, for messages that repeat the command.
        log_json: lines of JSON on standard error; ``QADAPT_LOG=json`` is the same.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: int = 0,
        color: bool = True,
        timeout: float | None = None,
        words: Sequence[str] = (),
        log_json: bool = False,
    ) -> None:
        self.json = json
        self.log_json = log_json or logs.json_by_environment()
        self.quiet = quiet
        self.verbose = verbose
        self.timeout = timeout
        self.words = tuple(words)
        self._color = color and not os.environ.get("NO_COLOR")
        self._out: Console | None = None
        self._err: Console | None = None

    # -- where -------------------------------------------------------------------------------

    @property
    def out(self) -> Console:
        """Standard output."""
        if self._out is None:
            self._out = self._console(sys.stdout)
        return self._out

    @property
    def err(self) -> Console:
        """Standard error."""
        if self._err is None:
            self._err = self._console(sys.stderr)
        return self._err

    def _console(self, file: Any) -> Console:
        from rich.console import Console

        from qadapt.cli.terminal_text import CleanHook

        if isinstance(file, io.TextIOWrapper):
            file.reconfigure(
                errors="backslashreplace"
            )  # the encoding of the terminal lacks the symbols
        console = Console(
            file=file,
            color_system="auto" if self._color else None,
            no_color=not self._color,
            highlight=False,
            markup=False,
            emoji=False,
            width=None if file.isatty() else _PIPE_WIDTH,
        )
        console.push_render_hook(CleanHook())
        return console

    @property
    def live(self) -> bool:
        """Whether a bar may be drawn on standard error."""
        bars = sys.stderr.isatty() and not self.err.is_dumb_terminal
        return bars and not self.quiet and not self.log_json

    @property
    def asks(self) -> bool:
        """Whether questions can be asked on a terminal."""
        tty = sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()
        return tty and not self.json

    @staticmethod
    def mask(text: str) -> str:
        """Mask keys in ``text``."""
        from qadapt.model.address import mask

        return mask(text)

    # -- results -----------------------------------------------------------------------------

    def document(self, data: Any) -> None:
        """Print the JSON document with ``--json``."""
        if self.json:
            from qadapt.cli.terminal_text import escaped
            from qadapt.used_keys import mask_used

            text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str)
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")
            sys.stdout.write(escaped(mask_used(text)) + "\n")

    def line(self, data: Any) -> None:
        """Print one line of JSON with ``--json``; for commands that do not end."""
        if self.json:
            from qadapt.cli.terminal_text import escaped
            from qadapt.used_keys import mask_used

            text = json.dumps(data, ensure_ascii=False, allow_nan=False, default=str)
            sys.stdout.write(escaped(mask_used(text)) + "\n")
            sys.stdout.flush()

    def print(self, *parts: RenderableType, indent: int = 0) -> None:
        """Print text to standard output; nothing with ``--json``."""
        if self.json:
            return
        for part in parts or ("",):
            _write(self.out, part, indent)

    def code(self, text: str) -> None:
        """Code to paste, on standard output without wrapping; nothing with ``--json``."""
        if not self.json:
            from qadapt.cli.terminal_text import clean

            self.out.out(clean(text), highlight=False)

    def note(self, text: str) -> None:
        """Print a line to standard error; nothing with ``--quiet``."""
        if self.log_json:
            logs.record(logging.INFO, text.strip())
        elif not self.quiet:
            _write(self.err, self.mask(text), 0)

    def warn(self, text: str) -> None:
        """Print a rich object to standard error; nothing with ``--quiet``."""
        if self.log_json:
            logs.record(logging.WARNING, text)
        elif not self.quiet:
            _write(self.err, labelled("warning", "yellow", self.mask(text)), 0)

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; only ``y`` and ``yes`` confirm."""
        from qadapt.cli.terminal_text import clean

        try:
            answer = self.err.input(f"{clean(self.mask(question))} [y/N] ", markup=False)
        except EOFError:
            return False
        return answer.strip().lower() in ("y", "yes")

    def progress(self) -> Reporter:
        """A progress callback, to be used as a context manager."""
        from qadapt.cli.progress import Reporter

        return Reporter(self)

    # -- errors ------------------------------------------------------------------------------

    def error(self, error: BaseException) -> int:
        """Print an error and return the exit code."""
        if isinstance(error, QadaptError):
            fields = ("collection", "store", "operation")
            where = {name: getattr(error, name) for name in fields if getattr(error, name)}
            self._tell(type(error).__name__, error.message, error.hint, where)
            self._trace(error, least=2)
            return error.exit_code
        if isinstance(error, KeyboardInterrupt):
            return self._interrupted()
        name = type(error).__name__
        hint = "this is a bug in qadapt; please report it with the command"
        if not self.verbose:
            hint += " (-v shows the traceback)"
        self._tell(name, f"{name}: {error}", hint)
        self._trace(error, least=1)
        return 1

    def usage(self, message: str, hint: str) -> int:
        """Print a usage error."""
        self._tell("UsageError", message, hint)
        return 2

    def again(self, *more: str, command: str | None = None) -> str:
        """What was typed, to be typed again: with more options, or as another command."""
        words = list(self.words)
        if command is not None:
            words[0] = command
        return repeated_command([self.mask(word) for word in words], more)

    def to_continue(self) -> str:
        """The interrupted command with ``--resume``."""
        return self.again(*(() if "--resume" in self.words else ("--resume",)))

    def _interrupted(self) -> int:
        again = self.again()
        hint = f"run the command again: {again}"
        if self.words and self.words[0] in ("eval", "simulate", "advise"):
            hint = f"to continue, run again: {self.to_continue()}"
        if self.words and self.words[0] == "apply":
            hint = f"to finish the change, run again: {again}\nto roll it back: qadapt undo"
        self._tell("Interrupted", "interrupted", hint)
        return INTERRUPTED

    def _tell(
        self, kind: str, message: str, hint: str | None, where: Mapping[str, str] | None = None
    ) -> None:
        message, hint = self.mask(message), self.mask(hint or "")
        fields = {"hint": hint or None, **(where or {})}
        if self.json:
            self.document({"error": {"type": kind, "message": message, **fields}})
        if self.log_json:
            logs.record(logging.ERROR, message, type=kind, **fields)
        if self.json or self.log_json:
            return
        _write(self.err, labelled("error", "bold red", message), 0)
        if hint:
            _write(self.err, labelled("hint", "cyan", hint), 2)

    def _trace(self, error: BaseException, *, least: int) -> None:
        if self.verbose < least:
            return
        text = self.mask("".join(traceback.format_exception(error)).rstrip())
        if self.log_json:
            logs.record(logging.ERROR, "traceback", traceback=text)
        else:
            _write(self.err, text, 0)

    # -- warnings and logs -------------------------------------------------------------------

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Show qadapt's own warnings as lines of this output, each text once."""
        seen: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, QadaptWarning):
                usual(message, category, *where, **more)
            elif str(message) not in seen:
                seen.add(str(message))
                self.warn(str(message))

        with warnings.catch_warnings():
            usual = warnings.showwarning
            warnings.simplefilter("always", QadaptWarning)
            warnings.showwarning = show
            yield

    def logs(self) -> contextlib.AbstractContextManager[None]:
        """qadapt's log on standard error during a block: ``-v`` INFO, ``-vv`` DEBUG.

        ``--log-json`` writes lines of JSON, from INFO on; with ``--quiet`` only errors.
        """
        if not (self.log_json or self.verbose):
            return contextlib.nullcontext()
        least = logging.DEBUG if self.verbose > 1 else logging.INFO
        if self.log_json and self.quiet:
            least = logging.ERROR
        return logs.logging_to_stderr(least, as_json=self.log_json)


def labelled(label: str, style: str, text: str) -> RenderableType:
    """Print ``error: text``; further lines are aligned with the text."""
    from rich.table import Table
    from rich.text import Text

    result = Table.grid(padding=(0, 1, 0, 0))
    result.add_column(no_wrap=True)
    result.add_column(overflow="fold")
    result.add_row(Text(f"{label}:", style=style), Text(text))
    return result


def _write(console: Console, part: RenderableType, indent: int) -> None:
    """Print without trailing spaces in pipes; long words are folded and never truncated."""
    from rich.padding import Padding

    if indent:
        part = Padding(part, (0, 0, 0, indent), expand=False)
    if console.file.isatty():
        console.print(part, overflow="fold")
        return
    with console.capture() as captured:
        console.print(part, overflow="fold")
    text = "\n".join(line.rstrip() for line in captured.get().split("\n"))
    console.file.write(text)
    console.file.flush()


# -- tables ------------------------------------------------------------------------------------


def table(
    columns: Sequence[str | tuple[str, Justify]],
    rows: Sequence[Sequence[Text | str]],
    *,
    header: bool = True,
) -> RenderableType:
    """Table without borders; if it is too wide, the widest text is folded."""
    from rich.table import Table

    result = Table(
        box=None, show_header=header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        title, number = (column, False) if isinstance(column, str) else (column[0], True)
        justify: Justify = "right" if number else "left"
        result.add_column(title, justify=justify, no_wrap=number, overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def fitting(
    width: int,
    columns: Sequence[str | tuple[str, Justify]],
    rows: Sequence[Sequence[Text | str]],
    *,
    drop: Sequence[str],
) -> RenderableType:
    """Table that omits columns of ``drop``, in that order, until it fits into ``width``."""
    from rich.cells import cell_len

    names = [column if isinstance(column, str) else column[0] for column in columns]
    needs = {
        name: max(cell_len(str(cell)) for cell in (name, *(row[at] for row in rows)))
        for at, name in enumerate(names)
    }
    needs[names[-1]] = min(needs[names[-1]], _LAST)  # which may be wrapped
    kept = list(names)
    for name in drop:
        if sum(needs[each] + 2 for each in kept) - 2 <= width:
            break
        if name in kept:
            kept.remove(name)
    chosen = [at for at, name in enumerate(names) if name in kept]
    return table([columns[at] for at in chosen], [[row[at] for at in chosen] for row in rows])


def facts(pairs: Sequence[tuple[str, Text | str]]) -> RenderableType:
    """Lines of name and value, with aligned values."""
    from rich.text import Text

    width = max((len(name) for name, _ in pairs), default=0)
    rows = [(Text(name.ljust(width), style="dim"), value) for name, value in pairs]
    return table(["", ""], rows, header=False)


def styled(text: str, style: str) -> Text:
    """``text`` in a style; rich is imported only when needed."""
    from rich.text import Text

    return Text(text, style=style)
