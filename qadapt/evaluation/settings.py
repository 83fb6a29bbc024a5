"""A setting to measure: a quantization, rescoring and search parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Quantization, Rescore, Serializable
from qadapt.model.rescore import CANDIDATES

LIVE = "live"
_OPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\S+)")


@dataclass(frozen=True)
class Setting(Serializable):
    """One setting.

    Attributes:
        quantization: None for the live collection.
        rescore: None for the default of the database or of the live collection.
        options: search parameters of the database, such as ``{"hnsw_ef": 128}``.
    """

    quantization: Quantization | None
    rescore: Rescore | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, value: SettingLike) -> Setting:
        """Parse a setting.

        ``binary:query_bits=8,rescore=4 hnsw_ef=128``: a quantization, followed by search
        parameters separated by spaces. ``live:rescore=4 hnsw_ef=128``: the live collection with
        these search parameters.

        Raises:
            SpecError
        """
        if isinstance(value, Setting):
            return value
        if isinstance(value, Quantization):
            return cls(value.replace(rescore=None), value.rescore)
        if isinstance(value, Mapping):
            return cls.of(Quantization.of(value))
        if not isinstance(value, str):
            raise SpecError(
                f"a setting must be a string or a Quantization; got a {type(value).__name__}",
                hint="pass each setting separately: evaluate('scalar', 'binary:rescore=4')",
            )
        words = value.split(" ")
        options: dict[str, Any] = {}
        while len(words) > 1 and (not words[-1] or _OPTION.fullmatch(words[-1])):
            word = words.pop()
            if word:
                name, _, text = word.partition("=")
                options = {name: _number(text), **options}
        text = " ".join(words).strip()
        if text == LIVE or text.startswith(LIVE + ":"):
            return cls(None, _live_rescore(text), options)
        quantization = Quantization.parse(text)
        return cls(quantization.replace(rescore=None), quantization.rescore, options)

    @property
    def text(self) -> str:
        """The setting as a string that ``of`` parses."""
        if self.quantization is None:
            head = LIVE if self.rescore is None else f"{LIVE}:{self.rescore.option}"
        else:
            head = str(self.quantization.replace(rescore=self.rescore))
        return " ".join([head, *(f"{name}={_word(value)}" for name, value in self.options.items())])

    @property
    def search_label(self) -> str:
        """How searches of this setting rescore, for a column heading."""
        if self.rescore is None:
            return "current"
        return "with rescoring" if self.rescore.on else "without rescoring"


SettingLike = Setting | Quantization | Mapping[str, Any] | str


def _live_rescore(text: str) -> Rescore | None:
    _, _, tail = text.partition(":")
    if not tail:
        return None
    name, _, value = tail.partition("=")
    if name.strip() == CANDIDATES:
        return Rescore.of(tail)
    if name.strip() != "rescore":
        raise SpecError(
            f"{text!r}: the live setting only accepts rescore and candidates, "
            "because its codes are not changed",
            hint="use for example live:rescore=4",
        )
    return Rescore.of(value)


def _number(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
