"""Check before a release that the tag, the version and the dated section of the changelog agree.

python tests/release/check_tag.py v0.2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def problem(tag: str, version_file: str, changelog: str, citation: str) -> str | None:
    """Why this tag cannot be released; None if it can.

    Args:
        tag: such as ``v0.2.0``.
        version_file, changelog, citation: texts of version.py, CHANGELOG.md and CITATION.cff.
    """
    version = tag.removeprefix("v")
    if f'__version__ = "{version}"' not in version_file:
        return f"the tag is {tag}, but qadapt/version.py has another version; set it to {version!r}"
    if not re.search(rf"^version: {re.escape(version)}$", citation, re.MULTILINE):
        return f"CITATION.cff has another version; set it to {version}"
    section = re.search(rf"^## \[{re.escape(version)}\] - (.+)$", changelog, re.MULTILINE)
    if section is None:
        return f"CHANGELOG.md has no section '## [{version}] - DATE'; rename [Unreleased] to it"
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", section[1]):
        return f"CHANGELOG.md has no date for {version}, but {section[1]!r}; write YYYY-MM-DD"
    return None


if __name__ == "__main__":
    files = ("qadapt/version.py", "CHANGELOG.md", "CITATION.cff")
    sys.exit(problem(sys.argv[1], *((REPO / name).read_text("utf-8") for name in files)))
