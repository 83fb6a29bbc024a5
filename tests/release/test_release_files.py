"""Files of a release: they parse, name the version of the package, and publish without a token."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from qadapt.version import DISTRIBUTION, __version__

REPO = Path(__file__).resolve().parents[2]
FORMS = sorted((REPO / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


def text_of(name: str) -> str:
    return (REPO / name).read_text("utf-8")


def document(name: str) -> Any:
    return yaml.safe_load(text_of(name))


def test_the_citation_names_version_and_license() -> None:
    citation = document("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
    assert {"title", "message", "authors"} <= set(citation)


def test_the_changelog_has_a_section_of_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", text_of("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == __version__
    assert __version__ in headings


def test_the_release_is_published_without_a_token() -> None:
    workflow = document(".github/workflows/release.yml")
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    assert rights == {
        "build": None,
        "publish": {"id-token": "write"},
        "github": {"contents": "write"},
    }
    publish = workflow["jobs"]["publish"]
    assert publish["environment"] == "pypi"
    assert publish["needs"] == "build"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "secrets." not in text_of(".github/workflows/release.yml")


def test_files_of_the_workflows_exist() -> None:
    for path in (REPO / ".github/workflows").glob("*.yml"):
        commands = "\n".join(
            step.get("run", "")
            for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
            for step in job["steps"]
        )
        for name in re.findall(r"(?:python |^)((?:tests|\.ci)/[\w./]+)", commands, re.MULTILINE):
            assert (REPO / name).is_file(), f"{path.name} runs {name}"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_the_fields_of_a_form(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    assert fields
    assert {each["type"] for each in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    names = [each["id"] for each in fields]
    assert len(set(names)) == len(names)
    assert all(each["attributes"]["label"] for each in fields)


def test_vulnerabilities_have_a_private_address() -> None:
    config = document(".github/ISSUE_TEMPLATE/config.yml")
    (address,) = [each["url"] for each in config["contact_links"] if "advisories" in each["url"]]
    assert address in text_of("SECURITY.md")


def test_the_hooks_before_a_commit_use_the_tools_of_the_extra_dev() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    (repository,) = document(".pre-commit-config.yaml")["repos"]
    hooks = {each["id"]: each for each in repository["hooks"]}
    assert {"ruff-check", "ruff-format"} <= set(hooks)
    for name in ("ruff-check", "ruff-format"):
        assert set(hooks[name]["additional_dependencies"]) <= set(extras["dev"])
    wanted = {each for each in extras["dev"] if each.startswith(("build", "twine"))}
    assert len(wanted) == 2
    assert all(each in text_of(".github/workflows/release.yml") for each in wanted)


def test_the_readme_shows_the_command_without_an_installation() -> None:
    assert DISTRIBUTION == "qadapt-vectors"
    assert "uvx --from qadapt-vectors qadapt stores" in text_of("README.md")


VERSION = '__version__ = "1.2.0"\n'
CHANGES = "## [1.2.0] - 2026-01-31\n"
CITED = "version: 1.2.0\n"


@pytest.mark.parametrize(
    ("tag", "version", "changes", "cited", "expected"),
    [
        ("v1.2.0", VERSION, CHANGES, CITED, None),
        ("v1.3.0", VERSION, CHANGES, CITED, "qadapt/version.py has another version"),
        ("v1.2.0", VERSION, CHANGES, "version: 1.1.0\n", "CITATION.cff"),
        ("v1.2.0", VERSION, "## [Unreleased]\n", CITED, "has no section"),
        ("v1.2.0", VERSION, "## [1.2.0] - unreleased\n", CITED, "has no date"),
    ],
)
def test_a_tag_that_does_not_fit_is_not_released(
    tag: str, version: str, changes: str, cited: str, expected: str | None
) -> None:
    problem = runpy.run_path(str(REPO / "tests/release/check_tag.py"))["problem"]
    found = problem(tag, version, changes, cited)
    assert found is None if expected is None else expected in found


def test_the_version_of_this_tree_is_the_next_release() -> None:
    problem = runpy.run_path(str(REPO / "tests/release/check_tag.py"))["problem"]
    files = ("qadapt/version.py", "CHANGELOG.md", "CITATION.cff")
    found = problem(f"v{__version__}", *map(text_of, files))
    assert found is None or "has no date" in found
