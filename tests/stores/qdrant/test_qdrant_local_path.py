"""Addresses of Qdrant's local mode that name a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import qadapt as qa
from qadapt.errors import AddressError


def test_a_file_is_not_opened_as_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_text("root")
    with pytest.raises(AddressError, match="the path is a file") as caught:
        qa.open(f"qdrant:{file}")
    assert caught.value.hint == "the DIR of qdrant:DIR must be a folder"
    assert file.read_text() == "root"
