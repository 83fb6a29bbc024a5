"""Other tools beside qadapt, each in an environment of its own, so that what they need stays there.

The environments lie in the user's cache folder and are made when they are first asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import platformdirs

HERE = Path(__file__).parent
TIMEOUT = 1_800


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
        name: of its package, and of its environment.
        script: script that runs it. packages: packages to install. bare: packages to install
        without their dependencies.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    bare: tuple[str, ...] = ()


PEERS = (
    Peer(
        "vecparity",
        "with_vecparity.py",
        ("vecparity==0.1.0", "pymilvus>=2.5,<4", "weaviate-client>=4.16,<5", "numpy"),
    ),
    # All of its dependencies need 6.8 GB, including torch and the clients of a dozen other
    # databases.
    Peer(
        "vdf-io",
        "with_vdf_io.py",
        ("pandas", "pyarrow", "pydantic", "tqdm", "halo", "pillow", "python-dotenv", "packaging",
         "qdrant-client", "pymilvus>=2.5,<3", "weaviate-client>=4.16,<5", "setuptools<81"),
        ("vdf-io==0.1.248",),
    ),
)  # fmt: skip


def python_of(peer: Peer) -> Path:
    """The interpreter of its environment, which is created if necessary."""
    folder = platformdirs.user_cache_path("qadapt") / "benchmarks" / peer.name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    whole = folder / "whole"
    wanted = "\n".join([*peer.packages, *peer.bare])
    if whole.exists() and whole.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {peer.name} in {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *peer.packages], check=True)
    if peer.bare:
        subprocess.run([*pip, "--no-deps", *peer.bare], check=True)
    whole.write_text(wanted, encoding="utf-8")
    return python


def run(peer: Peer, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Output of its script, or a failure with the last line of its error."""
    words = [str(python_of(peer)), str(HERE / peer.script), json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no words"]
        return [{"failed": lines[-1][:300]}]
    lines = done.stdout.strip().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line != "{}"]


def asked_of(
    source: str, target: str, addresses: tuple[str, str], name: str, rows: int, dim: int
) -> dict[str, Any]:
    """Arguments of a script for a Milvus and a Weaviate server."""
    told: dict[str, Any] = {"source": source, "target": target, "name": name, "rows": rows,
                            "dim": dim}  # fmt: skip
    for store, address in zip((source, target), addresses, strict=True):
        parts = urlsplit(address.removeprefix(f"{store}+"))
        if store == "milvus":
            told["milvus"] = f"{parts.scheme}://{parts.netloc}"
        else:
            grpc = parse_qs(parts.query).get("grpc", ["50051"])[0]
            told["weaviate"] = [parts.port, int(grpc)]
    return told
