"""Files of the image of a server on the Java virtual machine.

    python -m live.jvm_image elasticsearch FOLDER 9.5.3

In FOLDER, ``java`` is the runtime of this machine, ``server`` the jars, the launcher and ``start``,
and ``home`` the home of a node. ``docker/from-packages/build.sh`` copies them to the places below.
"""

from __future__ import annotations

import importlib
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from live.jvm import JvmServer

_JAVA, _SERVER = "/opt/java", "/opt/server"
_PORTS = ("9200", "9300")
# A container gets its requests from outside of its loopback interface.
_HOST = "0.0.0.0"
_UNUSED = ("jmods", "man", "legal", "lib/src.zip")


def lay_out(server: JvmServer, folder: Path) -> None:
    """Write the files of an image to a folder that does not exist."""
    home = f"/usr/share/{server.product}"
    server.prepare()
    shutil.copytree(server.folder, folder / "home", symlinks=False)
    data = folder / "home" / "data"
    data.mkdir()
    data.chmod(0o777)  # a tmpfs of a test gets this mode, and belongs to root
    (folder / "server").mkdir()
    shutil.copy(server.source(), folder / "server")
    command = [*server.launcher_command(), home, *_PORTS, _HOST]
    java = Path(command[0]).resolve().parents[1]
    shutil.copytree(java, folder / "java", symlinks=True, ignore=_without_unused(java))
    places = {str(java): _JAVA, str(server.folder): home}
    for source in server.jar_folders:
        shutil.copytree(source, folder / "server" / source.name)
        places[str(source)] = f"{_SERVER}/{source.name}"
    places[str(Path(server.source()).parent)] = _SERVER
    command[0] = str(Path(command[0]).resolve())
    script = f"exec {shlex.join(_moved(each, places) for each in command)}\n"
    (folder / "server" / "start").write_text(script, encoding="utf-8")


def _without_unused(java: Path) -> Callable[[str, list[str]], list[str]]:
    unused = {str(java / each) for each in _UNUSED}

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if f"{folder}/{name}" in unused]

    return ignored


def _moved(word: str, places: dict[str, str]) -> str:
    """A word of the command with the places of the image, longer ones first."""
    for source in sorted(places, key=len, reverse=True):
        word = word.replace(source, places[source])
    return word


def main(product: str, folder: str, version: str) -> None:
    """Lay out the image of a product.

    Raises:
        ValueError: the tests start another version.
    """
    importlib.import_module(f"live.{product}")
    (made,) = (each for each in JvmServer.__subclasses__() if each.product == product)
    server = made()
    try:
        if server.expected_version != version:
            raise ValueError(f"the tests start {product} {server.expected_version}, not {version}")
        lay_out(server, Path(folder))
    finally:
        server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
