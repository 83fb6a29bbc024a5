"""The name to install is qadapt-vectors; ``qadapt`` on the package index is another project."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import warnings
from pathlib import Path

import pytest

from qadapt import distribution
from qadapt.errors import MissingExtraError, QadaptWarning
from qadapt.version import DISTRIBUTION

REPO = Path(__file__).resolve().parents[1]
# "pip install qadapt", "'qadapt[edge]'", also with options between.
# `uvx --from qadapt-vectors qadapt` runs the command of the named distribution.
FOREIGN = re.compile(
    r"(?:pip3?|uv|uvx|pipx) (?!--from '?qadapt-vectors)[^\n`]*?\bqadapt(?![-\w/.+:])"
    r"|\bqadapt\[[a-z{]"
)


def test_the_installed_distribution_is_qadapt_vectors() -> None:
    assert importlib.metadata.metadata(DISTRIBUTION)["Name"] == "qadapt-vectors"


def test_hints_install_qadapt_vectors() -> None:
    hint = MissingExtraError("pymilvus", "milvus", purpose="the store 'milvus'").hint
    assert hint == "pip install 'qadapt-vectors[milvus]'"


def test_no_text_installs_the_other_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    found = [
        f"{name}: {hit[0]}"
        for name in listed.split("\0")
        if name.endswith((".py", ".md", ".toml", ".yaml", ".yml", "Makefile", "Dockerfile"))
        and name not in ("tests/test_distribution.py", "qadapt/distribution.py")
        and not name.startswith("tests/recordings/")
        and (REPO / name).is_file()
        for hit in FOREIGN.finditer((REPO / name).read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("there", [True, False])
def test_a_conflicting_distribution_is_warned_about_once(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        assert name == "qadapt"
        if not there:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.0"

    monkeypatch.setattr(distribution, "_checked", False)
    monkeypatch.setattr(importlib.metadata, "version", version)
    if there:
        with pytest.warns(QadaptWarning, match=r"'qadapt' 1\.2\.0 of another project"):
            distribution.warn_of_namesake()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distribution.warn_of_namesake()
