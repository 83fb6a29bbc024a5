"""The example of a third-party store works after installation, without changes to qadapt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "examples" / "store_plugin"
LINES = 300


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its metadata, as an installer leaves them; no network."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = project["name"].replace("-", "_")
    (folder / module).symlink_to(EXAMPLE / module, target_is_directory=True)
    about = folder / f"{module}-{project['version']}.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(metadata, encoding="utf-8")
    points = [
        line
        for group, named in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in named.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(points) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "file",
    ["test_commands.py", pytest.param("test_conformance.py", marks=pytest.mark.long)],
)
def test_the_tests_of_the_plugin_pass(file: str, site: Path) -> None:
    paths = [str(REPO), str(site), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    tests = EXAMPLE / "tests" / file
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}", "-c", os.devnull]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tests)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


def test_the_plugin_is_small() -> None:
    files = (EXAMPLE / "qadapt_fifth").glob("*.py")
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= LINES


def test_no_module_names_the_plugin() -> None:
    folders = ("qadapt", "docs")
    named = [
        file
        for folder in folders
        for file in (REPO / folder).rglob("*")
        if file.suffix in (".py", ".md", ".json")
        and "qadapt_fifth" in file.read_text(encoding="utf-8")
    ]
    assert named == []
