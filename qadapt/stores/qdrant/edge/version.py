"""The engine versions that build a quantization, and the server version of their format."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Match, Quantization
from qadapt.model.capabilities import older
from qadapt.stores.qdrant.edge.connection import DISTRIBUTION
from qadapt.stores.qdrant.edge.profile import RULES
from qadapt.version import install_command

# The oldest version that can create a collection and build codes; 0.5 has another API.
OLDEST = "0.6"


# The server version whose configuration format each version accepts, by the first version: 0.8
# accepts `memory` for codes but drops it for a vector, so it gets the older fields.
_SERVERS = {"0.9": None, "0.7": "1.18", OLDEST: "1.17"}


def refuse_old(version: str | None) -> None:
    """Refuse a version that is older than the oldest supported one.

    Raises:
        UnsupportedError
    """
    if version is not None and older(version, OLDEST):
        raise UnsupportedError(
            f"{DISTRIBUTION} {version} is installed; the store 'edge' requires {OLDEST} or newer",
            hint=install_command("edge").replace("install", "install --upgrade"),
        )


def server_version(version: str | None) -> str | None:
    """The server version with the same configuration format; None for the newest."""
    if version is None:
        return None
    known = (first for first in _SERVERS if not older(version, first))
    return _SERVERS[next(known, OLDEST)]


def too_old(quantization: Quantization, version: str | None) -> Match | None:
    """Why a version of qdrant-edge-py does not build this quantization; None if it does."""
    if quantization.kind is not Kind.ROTATIONAL or version is None:
        return None
    feature = f"native-{quantization.kind.value}:{quantization.bits or 4:g}"
    since = next((rule.since for rule in RULES if rule.feature == feature), None)
    if since is None or not older(version, since):
        return None
    return Match.unsupported(
        f"{quantization} requires qdrant-edge-py {since}; installed: {version}",
        f"qdrant-edge-py {since}",
    )
