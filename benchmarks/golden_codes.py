"""Write tests/codecs/golden.npz: codes of sentence-transformers 6.2.0.

    python benchmarks/golden_codes.py [--out tests/codecs/golden.npz]

Run by a Python that has sentence-transformers 6.2.0; it does not import qadapt. The tests compare
our codes with this file byte for byte, so it has to be made again only when another reference
version is to be matched.

Arrays, for each number of dimensions D (8, 13, 100, 384) and input dtype T (f2, f4, f8):
    D/x         float64 (n, D), the vectors; the input of dtype T is x cast to T
    D/T/ranges  float32 (2, D), what the reference finds in the first 12 rows (calibration)
    D/T/P       the codes for precision P (int8, uint8, binary, ubinary)
    D/f4/back   float32 (n, D), the uint8 codes as the reference itself turns them back
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sentence_transformers import __version__ as st_version
from sentence_transformers.util import quantization as reference

DIMS = (8, 13, 100, 384)
DTYPES = {"f2": np.float16, "f4": np.float32, "f8": np.float64}
PRECISIONS = ("int8", "uint8", "binary", "ubinary")
CALIBRATION_ROWS = 12
EDGE_ROWS = 9


def vectors(dim: int) -> np.ndarray:
    """Calibration rows, then rows on and beyond each boundary. One dimension is constant."""
    rng = np.random.default_rng(20240322 + dim)
    calibration = rng.standard_normal((CALIBRATION_ROWS, dim)) * rng.uniform(0.02, 3.0, dim)
    calibration[:, 3] = 0.25  # constant
    calibration[:, 5] = np.abs(calibration[:, 5]) + 10  # far from 0
    # boundaries in float32, so that float32 and float64 input reach them exactly
    lo = calibration.min(axis=0).astype(np.float32).astype(np.float64)
    hi = calibration.max(axis=0).astype(np.float32).astype(np.float64)
    width = hi - lo
    edges = np.stack(
        [
            np.zeros(dim),
            np.full(dim, -0.0),
            lo,
            hi,
            np.nextafter(lo.astype(np.float32), np.float32(-np.inf)),  # just under
            np.nextafter(hi.astype(np.float32), np.float32(np.inf)),  # just over
            lo - 2 * width,  # far under
            hi + 2 * width,  # far over: once wrapped around
            lo + width * rng.integers(0, 256, dim) / 255,  # on the borders of buckets
        ]
    )
    assert len(edges) == EDGE_ROWS
    return np.concatenate([calibration, edges])


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=root / "tests" / "codecs" / "golden.npz")
    args = parser.parse_args()
    if st_version != "6.2.0":
        raise SystemExit(f"this is sentence-transformers {st_version}, the reference is 6.2.0")

    arrays: dict[str, np.ndarray] = {"reference": np.array(f"sentence-transformers {st_version}")}
    for dim in DIMS:
        x = vectors(dim)
        arrays[f"{dim}/x"] = x
        for name, dtype in DTYPES.items():
            given = x.astype(dtype)
            sample = given[:CALIBRATION_ROWS]
            ranges = reference._get_quantization_ranges(given, "int8", sample).astype(np.float32)
            arrays[f"{dim}/{name}/ranges"] = ranges
            for precision in PRECISIONS:
                arrays[f"{dim}/{name}/{precision}"] = reference.quantize_embeddings(
                    given, precision, calibration_embeddings=sample
                )
            back = reference._dequantize_embeddings(arrays[f"{dim}/{name}/uint8"], "uint8", ranges)
            if name == "f4":
                arrays[f"{dim}/{name}/back"] = back.astype(np.float32)
    np.savez_compressed(args.out, **arrays)
    print(f"{args.out}: {len(arrays)} arrays, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
