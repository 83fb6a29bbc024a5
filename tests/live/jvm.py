"""Servers on the Java virtual machine, from jars that Maven fetches once.

    QADAPT_TEST_CACHE=...   where the jars are kept, by default .cache/
    JAVA_HOME=...           a JDK; otherwise those in /usr/lib/jvm and on the PATH

``python -m live.jvm elasticsearch`` in the folder ``tests`` fetches the jars of a server.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import filelock

from live import Unavailable
from live.server import Server, answer, free_ports

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_FETCH, _ATTEMPTS = 900.0, 3
_START = 300.0  # on a machine that also runs other servers
_JVM_FOLDERS = Path("/usr/lib/jvm")


def cache_folder() -> Path:
    """Where jars are kept."""
    named = os.environ.get("QADAPT_TEST_CACHE")
    return Path(named or Path(__file__).parents[2] / ".cache").absolute()


def jars(name: str, coordinates: Sequence[str]) -> Path:
    """A folder with these artifacts and all that they need at run time.

    Args:
        name: folder below the cache, with the version, such as ``elasticsearch-9.5.3/lib``.
        coordinates: ``group:artifact:version`` or ``group:artifact:version:type``; an artifact
            of a type other than ``jar`` is fetched alone.

    Raises:
        Unavailable: there is no Maven, or it failed.
    """
    target = cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{target}.lock", timeout=_FETCH):
        if not target.exists():
            _fetch(target, coordinates)
    return target


def _fetch(target: Path, coordinates: Sequence[str]) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("there is no Maven to fetch the jars of a server with: install maven")
    work = target.with_name(f"{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "pom.xml").write_text(_pom(coordinates))
    command = [maven, "-q", "-B", "-f", str(work / "pom.xml"), _COPY, "-DincludeScope=runtime"]
    command += [f"-DoutputDirectory={work / 'jars'}"]
    for _ in range(_ATTEMPTS):  # a transfer that breaks is continued by the next attempt
        done = subprocess.run(
            ["nice", "-n", "10", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH,
            check=False,
        )
        if done.returncode == 0:
            (work / "jars").rename(target)
            shutil.rmtree(work)
            return
    raise Unavailable(f"Maven cannot fetch {coordinates[0]}: {done.stdout[-1000:].strip()}")


def _pom(coordinates: Iterable[str]) -> str:
    """A project that depends on the artifacts."""
    listed = []
    for each in coordinates:
        group, artifact, version, *kind = each.split(":")
        text = (
            f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version>"
        )
        if kind:
            alone = "<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>"
            text += f"<type>{kind[0]}</type><exclusions>{alone}</exclusions>"
        listed.append(f"<dependency>{text}</dependency>")
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>qadapt</groupId>"
        "<artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{''.join(listed)}</dependencies></project>"
    )


def find_java(at_least: int, *, modules: Sequence[str] = ()) -> Path:
    """The program ``java`` of the oldest JDK that is new enough.

    Args:
        modules: modules that the JDK must have, such as ``jdk.jlink``.

    Raises:
        Unavailable: there is none.
    """
    found = {}
    for home in _homes():
        version = _java_version(home)
        has = all((home / "jmods" / f"{each}.jmod").exists() for each in modules)
        if version >= at_least and (has or _listed(home, modules)):
            found.setdefault(version, home / "bin" / "java")
    if not found:
        raise Unavailable(f"there is no JDK {at_least} or newer: set JAVA_HOME")
    return found[min(found)]


def _homes() -> Iterable[Path]:
    """Folders of JDKs, that of JAVA_HOME first."""
    named = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    listed = sorted(_JVM_FOLDERS.iterdir()) if _JVM_FOLDERS.is_dir() else []
    places = [Path(named)] if named else []
    places += listed
    places += [Path(on_path).resolve().parents[1]] if on_path else []
    return [each for each in places if os.access(each / "bin" / "java", os.X_OK)]


def _java_version(home: Path) -> int:
    release = home / "release"
    found = re.search(r'JAVA_VERSION="(\d+)', release.read_text()) if release.exists() else None
    return int(found[1]) if found else 0


def _listed(home: Path, modules: Sequence[str]) -> bool:
    """Whether a JDK lists the modules, which may be linked into it without separate files."""
    text = (home / "release").read_text()
    found = re.search(r'MODULES="([^"]*)"', text)
    return not modules or (found is not None and set(modules) <= set(found[1].split()))


class JvmServer(Server):
    """A server of REST on 127.0.0.1, started by a launcher in Java.

    Subclasses set ``product``, ``launcher`` and ``command``.

    Attributes:
        port: of REST; ``transport``: of the protocol between nodes. They stay over a restart.
        product: the scheme of its address for qadapt.
        launcher: name of the source in this folder, which ``java`` compiles and runs.
    """

    patience = 30.0
    product: ClassVar[str]
    launcher: ClassVar[str]
    heap = "512m"

    def __init__(self) -> None:
        self.port = self.transport = 0
        self._command = self.command()  # raises before anything is created
        super().__init__()

    def command(self) -> list[str]:
        """``java`` with its options, without launcher and arguments.

        Raises:
            Unavailable: the jars or the JDK are not available.
        """
        raise NotImplementedError

    @property
    def expected_version(self) -> str:
        """The version of the jars."""
        raise NotImplementedError

    @property
    def jar_folders(self) -> Sequence[Path]:
        """The folders of jars that the command names."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Create the files of a new node below ``folder``."""

    @property
    def rest(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"{self.product}+{self.rest}"

    @property
    def version(self) -> str:
        """The version that the node reports."""
        import json

        told = answer(f"{self.rest}/_nodes?filter_path=nodes.*.version")
        if told is None:
            raise RuntimeError(f"{self.name} does not tell its version: {self.last_words()}")
        return str(next(iter(json.loads(told)["nodes"].values()))["version"])

    def start(self) -> JvmServer:
        """Start and wait until it is ready."""
        try:
            if not self.port:
                self.port, self.transport = free_ports(2)
                self.prepare()
            self.launch()
        except BaseException:
            self.stop()
            raise
        return self

    def source(self) -> str:
        """The source of the launcher."""
        return str(Path(__file__).with_name(self.launcher))

    def program(self) -> list[str]:
        """The last words of ``java`` before the arguments of the launcher."""
        return [self.source()]

    def launcher_command(self) -> list[str]:
        """The complete command of the launcher, without its arguments."""
        memory = [f"-Xms{self.heap}", f"-Xmx{self.heap}"]
        return [self._command[0], *memory, *self._command[1:], *self.program()]

    def launch(self) -> None:
        """Start the process on its folder and ports."""
        where = [str(self.folder), str(self.port), str(self.transport)]
        self.run(["nice", "-n", "10", *self.launcher_command(), *where], os.environ)
        ready = f"{self.rest}/_cluster/health?wait_for_status=yellow&timeout=3s"
        self.wait_until(lambda: answer(ready) is not None, _START)


def main(product: str) -> None:
    """Fetch what the server of a product needs."""
    module = importlib.import_module(f"live.{product}")
    print(" ".join(module.fetch()))


if __name__ == "__main__":
    main(sys.argv[1])
