"""The version of qadapt, in a module that all others may import."""

__version__ = "0.2.0"

# The name on the package index; the import name and the command are ``qadapt``.
DISTRIBUTION = "qadapt-vectors"


def install_command(extra: str) -> str:
    """The command that installs an extra, such as ``milvus``."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
