"""What a caller may say of a migration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qadapt.errors import InputError, SpecError
from qadapt.migration.plan import ALLOWED
from qadapt.model import Guard, Quantization

MB = 1 << 20
CheckHow = Literal["all", "sample", "off"]


@dataclass(frozen=True)
class Options:
    """How to migrate.

    Attributes:
        allow: names of losses that are fine, see ``plan.ALLOWED``.
        quantization: of the target, by vector; the source's where it is not named.
        datatype: what the target keeps of the floats; None for the source's, where it has it.
        keep_norms: lengths of vectors that the target normalises go into the payload.
        workers: pairs of a reading and a writing thread.
        batch_bytes: of one write, to begin with.
        updated_at: the payload's entry that says when a row was written.
        check: compare all rows, a sample, or nothing afterwards; None leaves it to the size.
        gate: least recall@k of the target; None for that of the source.
        probe: whether a few rows are copied to a scratch collection for the plan.
        patience: seconds that a server may be away before the copy stops.
        timeout: seconds for building the quantization.
    """

    allow: tuple[str, ...] = ()
    quantization: Mapping[str, Quantization] | Quantization | None = None
    datatype: Literal["float32", "float16"] | None = None
    keep_norms: bool = False
    workers: int = 2
    batch_bytes: int = 4 * MB
    updated_at: str | None = None
    check: CheckHow | None = None
    gate: Guard | None = None
    probe: bool = True
    patience: float = 60.0
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        for name in self.allow:
            if name not in ALLOWED:
                raise SpecError.unknown("loss to allow", name, ALLOWED)
        if isinstance(self.workers, bool) or not 1 <= self.workers <= 64:
            raise InputError(f"workers are 1 to 64; got {self.workers!r}")
        if not 1 << 10 <= self.batch_bytes <= 64 * MB:
            raise InputError(
                f"a batch has 1 KB to 64 MB; got {self.batch_bytes:,} bytes",
                hint="servers take 32 to 100 MB in one request",
            )
        if not 0 <= self.patience < math.inf:
            raise InputError(f"patience is a number of seconds from 0; got {self.patience!r}")
        if self.datatype not in (None, "float32", "float16"):
            raise SpecError.unknown("datatype", str(self.datatype), ("float32", "float16"))

    def of(self, vector: str) -> Quantization | None:
        """What was asked for one vector; None for what the source has."""
        if isinstance(self.quantization, Mapping):
            return self.quantization.get(vector)
        return self.quantization
