"""Tables of results: as text for ``print`` and as HTML for notebooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

DASH = "-"
LONGEST = 200  # characters of a value in a table of fields


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        columns: column titles; a leading ``#`` marks a column of numbers.
        rows: cells of each row.
        title: text above the table.
        notes: lines below the table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [tuple(_title(column) for column in self.columns), *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        lines.insert(1, tuple("-" * width for width in widths))
        text = [
            "  ".join(
                cell.rjust(width) if column.startswith("#") else cell.ljust(width)
                for cell, width, column in zip(line, widths, self.columns, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*filter(None, [self.title]), *text, *self.notes])

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        styles = [
            ' style="text-align: right"' if column.startswith("#") else ""
            for column in self.columns
        ]
        heads = "".join(
            f"<th{style}>{escape(_title(column))}</th>"
            for column, style in zip(self.columns, styles, strict=True)
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td{style}>{escape(cell)}</td>" for cell, style in zip(row, styles, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        title = f"<p><b>{escape(self.title)}</b></p>" if self.title else ""
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"{title}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"


class Tabular:
    """Mixin of results that print as a table."""

    def table(self) -> Table:
        """The result as a table of text."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return self.table()._repr_html_()


class FieldTable(Tabular):
    """Mixin of dataclasses that print as a table of their fields; empty fields are omitted."""

    def table(self) -> Table:
        """One row per field."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        pairs = ((each.name.replace("_", " "), getattr(self, each.name)) for each in fields)
        return pair_table(((name, value) for name, value in pairs if not _is_empty(value)))


def pair_table(pairs: Iterable[tuple[str, Any]], title: str = "") -> Table:
    """A table of labels and values, one per row."""
    rows = tuple((label.strip(), _one_line(value)) for label, value in pairs)
    return Table(("", "Value"), rows, title)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, tuple, list, Mapping)) and not value)


def _one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        value = "; ".join(f"{key or '(unnamed)'}: {_one_line(each)}" for key, each in value.items())
    elif isinstance(value, (tuple, list)):
        value = "; ".join(map(_one_line, value))
    if isinstance(value, float):
        value = f"{value:.6g}"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def preformatted(text: str) -> str:
    """HTML of text that is aligned with spaces."""
    return f"<pre>{escape(text)}</pre>"


def human_bytes(size: float) -> str:
    """Format a size, such as ``1.5 KiB`` for 1536."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def size_text(count: float | None) -> str:
    """Bytes as ``1.5 KiB``; a dash if unknown."""
    return DASH if count is None else human_bytes(count)


def share_text(value: float | None) -> str:
    """A recall or nDCG with three decimals; 0.9999 is not rounded up to 1."""
    if value is None:
        return DASH
    return f"{min(value, 0.999):.3f}" if value < 1 else "1.000"


def _title(column: str) -> str:
    return column.lstrip("#")
