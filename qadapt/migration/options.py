"""The options of a migration, validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qadapt.errors import InputError, SpecError
from qadapt.model import Guard, Quantization, synonyms
from qadapt.model.losses import LOSSES

MB = 1 << 20
DATATYPES = ("float32", "float16", "bfloat16")
CheckScope = Literal["all", "sample", "off"]


@dataclass(frozen=True)
class Options:
    """Options of a migration.

    Attributes:
        allow: names of accepted losses, see ``qadapt.model.losses.LOSSES``.
        quantization: of the target, for all vectors or by vector name; by default the
            source's, or the nearest one that the target supports.
        datatype: of the target's vectors; None for the source's, where the target supports it.
        keep_norms: store the lengths of vectors that the target normalizes in the payload.
        workers: number of workers, each with a reading and a writing thread.
        batch_bytes: initial size of one write.
        updated_at: payload field with the time of a row's last change.
        check: rows to compare after the copy; None for all up to 200,000, else a sample.
        gate: minimum recall@k of the target; None to compare with the source's recall.
        trial_copy: copy some rows to a scratch collection when planning.
        retry_timeout: seconds to retry while a server is unreachable, before the copy stops.
        timeout: seconds for building the quantization.
    """

    allow: tuple[str, ...] = ()
    quantization: Mapping[str, Quantization] | Quantization | None = None
    datatype: Literal["float32", "float16", "bfloat16"] | None = None
    keep_norms: bool = False
    workers: int = 2
    batch_bytes: int = 4 * MB
    updated_at: str | None = None
    check: CheckScope | None = None
    gate: Guard | None = None
    trial_copy: bool = True
    retry_timeout: float = 60.0
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        for name in self.allow:
            if name not in LOSSES:
                raise SpecError.unknown("loss to allow", name, LOSSES)
        if isinstance(self.workers, bool) or not 1 <= self.workers <= 64:
            raise InputError(
                f"workers must be between 1 and 64; got {self.workers!r}",
                hint="for example --workers 4",
            )
        if not 1 << 10 <= self.batch_bytes <= 64 * MB:
            raise InputError(
                f"a batch must have between 1 KB and 64 MB; got {self.batch_bytes:,} bytes",
                hint="servers accept requests of 32 to 100 MB",
            )
        if not 0 <= self.retry_timeout < math.inf:
            raise InputError(
                "retry_timeout (--retry-timeout) must be a number of seconds, 0 or more; got "
                f"{self.retry_timeout!r}",
                hint="for example --retry-timeout 60",
            )
        if self.datatype is not None:
            object.__setattr__(self, "datatype", synonyms.datatype(str(self.datatype)))
        if self.datatype not in (None, *DATATYPES):
            raise SpecError.unknown("datatype", str(self.datatype), DATATYPES)

    def quantization_of(self, vector: str) -> Quantization | None:
        """The quantization requested for a vector; None to keep the source's."""
        if isinstance(self.quantization, Mapping):
            return self.quantization.get(vector)
        return self.quantization
