"""Cited pages and headings exist, and no file names a folder outside of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CITED = re.compile(r"(?<![\w./-])docs/[\w./-]+?\.md(?:#[\w-]+)?")
LINK = re.compile(r"\]\(([^)\s:]*?\.md)?(#[\w-]+)?\)")
# A path to a parent folder in a sentence or a command; `edge:x/../data` in a test is excluded.
CLIMBING = re.compile(r"(?<![\w./\"])((?:\.\./)+[\w.-]+)")
# Folders of one machine. Put together here, so that this file does not name them.
MACHINE = re.compile("|".join(f"(?<![\\w.])/{name}/" for name in ("work", "root", "home/\\w+")))


def tracked() -> list[Path]:
    """All text files that are part of the repository, recorded answers of engines excepted."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):  # an archive of the sources
        folders = ("qadapt", "tests", "docs", "benchmarks", "docker")
        listed = [
            str(path.relative_to(ROOT)) for each in folders for path in (ROOT / each).rglob("*")
        ]
    suffixes = {".py", ".md", ".toml", ".sh", ".yaml", ".yml", ".env", ""}
    return [
        ROOT / name
        for name in listed
        if Path(name).suffix in suffixes
        and "__pycache__" not in name
        and not (name.startswith("tests/recordings/") and not name.endswith(".md"))
        and (ROOT / name).is_file()
    ]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        heading = re.match(r"#+ +(.*)", line)
        if heading and not fenced:
            words = re.sub(r"[^\w\- ]", "", heading[1].strip().lower())
            found.add(words.replace(" ", "-"))
    return found


def missing(target: str, base: Path) -> str | None:
    """The problem of a citation; None if its page or heading exists."""
    name, _, anchor = target.partition("#")
    page = base / name
    if not page.is_file():
        return f"no page {name}"
    if anchor and anchor not in anchors(page):
        return f"no heading for #{anchor} in {name}"
    return None


def test_cited_pages_and_headings_exist() -> None:
    wrong = []
    cited = 0
    for path in tracked():
        for target in CITED.findall(path.read_text(encoding="utf-8")):
            cited += 1
            reason = missing(target, ROOT)
            if reason:
                wrong.append(f"{path.relative_to(ROOT)}: {reason}")
    assert not wrong, "\n".join(wrong)
    assert cited > 30


def test_links_between_pages_exist() -> None:
    wrong = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for page, anchor in LINK.findall(path.read_text(encoding="utf-8")):
            reason = missing(f"{page or path.name}{anchor}", path.parent)
            if reason:
                wrong.append(f"{path.relative_to(ROOT)}: {reason}")
    assert not wrong, "\n".join(wrong)


def test_no_file_names_a_folder_outside_of_the_repository() -> None:
    wrong = []
    for path in tracked():
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            outside = [each for each in CLIMBING.findall(line) if not (path.parent / each).exists()]
            wrong += [
                f"{path.relative_to(ROOT)}:{number}: {each}"
                for each in [*outside, *MACHINE.findall(line)]
            ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("see ../notes/engine.md", ["../notes"]),
        ("`../../data/x.npz`", ["../../data"]),
        ("edge:x/../data", []),
        ("QADAPT_SERVER=.../server", []),
    ],
)
def test_paths_to_parent_folders_are_found(text: str, named: list[str]) -> None:
    assert CLIMBING.findall(text) == named


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n```\n# no heading\n```\n## NaN and `x`, 2.3.5\n", encoding="utf-8")
    assert anchors(page) == {"a-page", "nan-and-x-235"}
