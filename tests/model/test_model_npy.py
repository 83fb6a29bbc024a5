"""Array files that are damaged, malicious, or of another type."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from qadapt.errors import InputError
from qadapt.model.npy import open_npy

MAGIC = b"\x93NUMPY"


def with_header(header: bytes, length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    return MAGIC + b"\x02\x00" + struct.pack("<I", size) + header + bytes(128)


def described(shape: str, descr: str = "<f4") -> bytes:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a .npy file"),
        (b"hello", "not a .npy file"),
        (b"\x80\x04K\x01.", "not a .npy file"),  # a pickle
        (MAGIC + b"\x09\x00", "header is damaged"),
        (MAGIC + b"\x01", "header is damaged"),
        (with_header(described("(2, 16)") + b" " * 200_000), "header is damaged"),
        (with_header(b"{", 2**32 - 1), "header is damaged"),
        (with_header(b"(" * 5000 + b"\n"), "header is damaged"),
        (with_header(b"__import__('os').getcwd()\n"), "header is damaged"),
        (with_header(described("(2, 16)", "|O")), "Python objects"),
        (with_header(described("(99999999999, 16)")), "truncated"),
        (with_header(described("(3, 16)")), "truncated"),
        (with_header(described("(-2, 16)")), "invalid shape"),
        (b"PK\x03\x04", "several arrays"),
    ],
)
def test_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "q.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        open_npy(path)
    assert "q.npy" in str(caught.value) and caught.value.hint
    assert "allow_pickle" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.npy"):
        with pytest.raises(InputError, match="cannot read"):
            open_npy(path)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (5,), ()])
@pytest.mark.parametrize("dtype", ["<f4", "<f2", ">f8", "|i1"])
def test_every_array_of_numbers_is_read(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    wanted = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", wanted)
    np.testing.assert_array_equal(open_npy(tmp_path / "a.npy"), wanted)
