"""Build the sdist and the wheel, and use the wheel in an empty environment (make test-wheel).

python tests/release/check_wheel.py            # the files are in dist/
python tests/release/check_wheel.py --dist DIR --no-demo
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from qadapt.version import DISTRIBUTION, __version__  # noqa: E402

STEM = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dist", type=Path, default=REPO / "dist", help="folder for both files")
    parser.add_argument("--no-demo", action="store_true", help="do not run the demo")
    given = parser.parse_args()
    started = time.monotonic()
    wheel, sdist = build(given.dist)
    check_contents(wheel, sdist)
    run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist))
    with tempfile.TemporaryDirectory(prefix="qadapt-wheel-") as folder:
        use(wheel, Path(folder), demo=not given.no_demo)
    print(f"{wheel.name}: installed and used in {time.monotonic() - started:.0f} s")


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist that it was built from; files of earlier builds are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{DISTRIBUTION.replace('-', '_')}-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(REPO))
    return folder / f"{STEM}-py3-none-any.whl", folder / f"{STEM}.tar.gz"


def check_contents(wheel: Path, sdist: Path) -> None:
    """Both contain exactly the files of the package that git has, and the license."""
    listed = run("git", "-C", str(REPO), "ls-files", "-z", "qadapt").split("\0")
    wanted = {name for name in listed if name and (REPO / name).is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    same("the wheel", wanted, {name for name in names if name.startswith("qadapt/")})
    assert f"{STEM}.dist-info/licenses/LICENSE" in names, names[-5:]
    with tarfile.open(sdist) as tar:
        inside = {member.name.partition("/")[2] for member in tar if member.isfile()}
    same("the sdist", wanted, {name for name in inside if name.startswith("qadapt/")})
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"):
        assert name in inside, f"the sdist lacks {name}"
    print(f"both contain {len(wanted)} files of the package")


def same(name: str, wanted: set[str], found: set[str]) -> None:
    if wanted != found:
        missing, foreign = sorted(wanted - found), sorted(found - wanted)
        sys.exit(f"{name} lacks {missing}; it has files that git does not list: {foreign}")


def use(wheel: Path, folder: Path, *, demo: bool) -> None:
    """Install the wheel into an empty environment, and run it outside of the repository."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python, qadapt = str(programs / "python"), str(programs / "qadapt")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")

    run(*pip, str(wheel), cwd=folder)
    code = "import qadapt; print(qadapt.__file__, qadapt.__version__)"
    file, version = run(python, "-W", "error", "-c", code, cwd=folder).split()
    assert Path(file).is_relative_to(folder.resolve()), f"imported {file}, not the wheel"
    assert version == __version__
    assert __version__ in run(qadapt, "--version", cwd=folder)
    stores = json.loads(run(qadapt, "stores", "--json", cwd=folder))
    assert {"edge", "qdrant", "milvus"} <= {each["name"] for each in stores["stores"]}, stores
    missing = run(qadapt, "inspect", "edge:./data", cwd=folder, fails=True)
    assert f"pip install '{DISTRIBUTION}[edge]'" in missing, missing
    for command in ("--help", "schema", "matrix"):
        assert run(qadapt, command, cwd=folder)
    if not demo:
        return
    run(*pip, f"{wheel}[demo]", cwd=folder)
    run(python, "-m", "pip", "check", cwd=folder)
    report = json.loads(run(qadapt, "demo", "--rows", "2000", "--json", cwd=folder))
    states = [report[when]["state"] for when in ("before", "after", "undone")]
    assert states == ["absent", "active", "absent"], states
    print(f"demo: {report['rows']} rows, recall {report['change']['recall_after']:.3f} with codes")


def run(*command: str, cwd: Path = REPO, fails: bool = False) -> str:
    """The output of a command; an unexpected exit code ends this program."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["QADAPT_STATE_DIR"] = str(cwd / "state")
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if (done.returncode != 0) is not fails:
        sys.exit(
            f"{' '.join(command)} ended with exit code {done.returncode}:\n"
            f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done.stderr if fails else done.stdout


if __name__ == "__main__":
    main()
