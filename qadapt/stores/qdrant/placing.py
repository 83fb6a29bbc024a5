"""Where codes and originals stand, in the engine that the server and ``edge:`` share."""

from __future__ import annotations

from typing import Literal

from qadapt.model import Estimate, Quantization


def estimate(
    codes: int,
    originals: int,
    now: Quantization,
    target: Quantization,
    stops: Literal["nothing", "searches and writes"],
) -> Estimate:
    """What a rebuild takes.

    Args:
        codes, originals: bytes.
        now, target: for the place of each.
    """
    on_disk = (target.originals or now.originals) == "disk"
    # Codes that are not placed stand in RAM when the originals do.
    codes_on_disk = target.codes == "disk" or (target.codes is None and on_disk)
    return Estimate(
        codes_ram=0 if codes_on_disk else codes,
        codes_disk=codes,
        originals_ram=0 if on_disk else originals,
        originals_disk=originals,
        # A second copy of each segment stands beside it until it is swapped in.
        temporary_disk=originals + codes,
        stops=stops,
    )
