"""A real Elasticsearch node for the tests, from the jars of Maven.

QADAPT_TEST_ELASTICSEARCH_URL=elasticsearch+http://...   a server that runs already

QADAPT_TEST_ELASTICSEARCH=8.19.21                        that version, on a JDK 17, instead of 9.5.3

9.5.3 needs a JDK 25. 8.19.21 reports no bytes of codes, so tests that require the status `active`
fail on it. The node has neither the modules for scripts and reindexing nor security and licences
(docs/engines/elasticsearch.md#test-server).
"""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from live.jvm import JvmServer, find_java, jars

_MODULE = "transport-netty4"
_DESCRIPTORS = "META-INF/es-plugins/transport-netty4/"
_LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class Release:
    """A version of the server.

    Attributes:
        log4j: version of log4j-core, which must be that of log4j-api.
        java: the oldest JDK.
    """

    version: str
    log4j: str
    java: int

    def fetch(self) -> tuple[Path, Path]:
        """Folders of the jars of the server and of its transport module."""
        server = jars(
            f"elasticsearch-{self.version}/lib",
            (
                f"org.elasticsearch:elasticsearch:{self.version}",
                f"org.apache.logging.log4j:log4j-core:{self.log4j}",
            ),
        )
        module = jars(
            f"elasticsearch-{self.version}/{_MODULE}",
            (f"org.elasticsearch.plugin:{_MODULE}:{self.version}",),
        )
        return server, module


NEWEST = Release("9.5.3", "2.26.1", 25)
OLDEST = Release("8.19.21", "2.26.1", 17)


def chosen() -> Release:
    """9.5.3, or the version of QADAPT_TEST_ELASTICSEARCH.

    Raises:
        Unavailable: there is no JDK for it.
        KeyError: a version other than 9.5.3 and 8.19.21.
    """
    releases = {each.version: each for each in (NEWEST, OLDEST)}
    release = releases[os.environ.get("QADAPT_TEST_ELASTICSEARCH") or NEWEST.version]
    find_java(release.java, modules=("jdk.jlink",))
    return release


def fetch() -> list[str]:
    """Fetch the jars; their folders."""
    return [str(each) for each in chosen().fetch()]


class ElasticsearchServer(JvmServer):
    """A node on 127.0.0.1.

    Args:
        release: None for the version that the environment names.
    """

    name = "elasticsearch"
    product = "elasticsearch"
    launcher = "ElasticsearchNode.java"

    def __init__(self, release: Release | None = None) -> None:
        self.release = release or chosen()
        super().__init__()

    def command(self) -> list[str]:
        """The module path holds the server, the class path the launcher alone."""
        java = find_java(self.release.java, modules=("jdk.jlink",))
        self._lib, self._module = self.release.fetch()
        return [
            str(java),
            "--module-path",
            str(self._lib),
            "--add-modules",
            "jdk.net,jdk.management.agent,jdk.incubator.vector,ALL-MODULE-PATH",
            "--add-opens=java.base/java.io=ALL-UNNAMED",
            "--enable-native-access=org.elasticsearch.nativeaccess,org.apache.lucene.core",
            "-Des.nativelibs.path=native",
        ]

    @property
    def expected_version(self) -> str:
        return self.release.version

    @property
    def jar_folders(self) -> tuple[Path, ...]:
        return (self._lib,)

    def prepare(self) -> None:
        """Folders of a node: configuration, transport module, link to libzstd."""
        for each in ("config", "plugins", "lib", "native"):
            (self.folder / each).mkdir()
        (self.folder / "config" / "log4j2.properties").write_text(_LOGGING)
        module = self.folder / "modules" / _MODULE
        module.mkdir(parents=True)
        for jar in sorted(self._module.glob("*.jar")):
            if not (self._lib / jar.name).exists():
                shutil.copy(jar, module)
        (own,) = module.glob(f"{_MODULE}-*.jar")
        with zipfile.ZipFile(own) as archive:
            for name in archive.namelist():
                if name.startswith(_DESCRIPTORS) and not name.endswith("/"):
                    (module / Path(name).name).write_bytes(archive.read(name))
        zstd = _library("libzstd.so.1")
        if zstd is not None:
            (self.folder / "native" / "libzstd.so").symlink_to(zstd)


def _library(name: str) -> Path | None:
    """A shared library of this machine."""
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"):
        found = Path(folder) / name
        if found.exists():
            return found
    return None
