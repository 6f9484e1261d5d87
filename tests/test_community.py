"""What GitHub reads is valid, and names commands, files and versions that exist."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from conftest import ROOT

import segzoo
from segzoo import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/segzoo-*/pyproject.toml"))
TARGETS = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))


RELEASE = GITHUB / "release.py"
released = runpy.run_path(str(RELEASE))["folder_of"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield f"{path.name}: {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job.get("steps", []):
            yield name, step


# -- workflows


def test_every_workflow_may_only_read_unless_a_job_says_more():
    assert [path.stem for path in WORKFLOWS] == ["container", "docs", "release", "tests"]
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path.name
    granted = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert granted == {
        "docs.yml: publish": {"pages": "write", "id-token": "write"},
        "release.yml: publish": {"id-token": "write"},
    }


def test_every_action_is_pinned_by_commit_with_its_version_beside():
    lines = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        if "uses: ./" not in line:
            assert re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    # One action, one commit.
    pins = {re.search(r"uses: (\S+)@(\S+)", line).groups() for line in lines if "@" in line}
    assert len(pins) == len({name for name, _ in pins})


def test_every_job_ends_and_needs_only_jobs_that_exist():
    for path in WORKFLOWS:
        found = read(path)["jobs"]
        for name, job in found.items():
            assert "uses" in job or job["timeout-minutes"] <= 60, name
            needs = job.get("needs", [])
            assert {needs} <= set(found) if isinstance(needs, str) else set(needs) <= set(found), name


def test_no_workflow_puts_what_strangers_write_into_a_shell():
    for name, step in steps():
        for expression in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
            pytest.fail(f"{name}: {expression} belongs into env")


def test_workflows_call_targets_files_and_groups_that_exist():
    written = [step["run"] for _, step in steps() if "run" in step]
    assert written
    for line in written:
        assert set(re.findall(r"(?:^|[;&|] *)make ([a-z]+)", line)) <= TARGETS, line
        for file in re.findall(r"python (\S+\.py)", line):
            assert (ROOT / file).is_file(), line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = {name for line in written for name in re.findall(r"--group (\w+)", line)}
    assert groups
    assert groups <= set(project["dependency-groups"])
    (lowest,) = (line for line in written if "lowest-direct" in line)
    assert "--all-extras" in lowest


def test_pull_requests_are_linted_and_tested_on_three_systems_and_with_the_lowest_versions():
    tests = read(GITHUB / "workflows/tests.yml")
    assert {"push", "pull_request", "workflow_call"} == set(tests[True])  # YAML's `on` is true
    assert set(tests["jobs"]) == {"lint", "linux", "elsewhere", "napari", "lowest", "wheels"}
    assert tests["jobs"]["elsewhere"]["strategy"]["matrix"]["system"] == ["macos-latest", "windows-latest"]
    lowest = segzoo_requires().removeprefix(">=")
    assert tests["jobs"]["linux"]["strategy"]["matrix"]["python"][0] == lowest


def segzoo_requires() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]


def test_a_tag_releases_the_package_that_it_names():
    done = subprocess.run(
        [sys.executable, str(RELEASE), f"segmentation-zoo-v{segzoo.__version__}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "folder=.\n"
    voc = tomllib.loads((ROOT / "plugins/segzoo-voc/pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert released(f"segzoo-voc-v{voc}") == "plugins/segzoo-voc"


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("v0.1.0", "names no package"),
        ("segzoo-voc-v99", "segzoo-voc says of itself"),
        ("segzoo-x-v1", "names no"),
    ],
)
def test_a_tag_of_another_version_or_package_publishes_nothing(tag: str, told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        released(tag)


# -- forms


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_github_shows(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names)
    for field in form["body"]:
        assert field["type"] in {"checkboxes", "dropdown", "input", "markdown", "textarea"}
        assert field["attributes"]["label"]
        assert bool(field["attributes"].get("options")) == (field["type"] in {"checkboxes", "dropdown"})
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_a_bug_s_form_asks_for_what_the_doctor_prints(capsys):
    (field,) = (one for one in read(GITHUB / "ISSUE_TEMPLATE/bug.yml")["body"] if one["id"] == "doctor")
    assert field["attributes"]["label"] == "segzoo doctor --json"
    assert cli.run(["doctor", "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_whoever_opens_an_issue_is_led_to_security_and_guides():
    config = read(GITHUB / "ISSUE_TEMPLATE/config.yml")
    assert config["blank_issues_enabled"] is False
    for link in config["contact_links"]:
        assert set(link) == {"name", "url", "about"}
        assert link["url"].startswith("https://github.com/org/segzoo/")


def test_the_bot_watches_folders_that_exist():
    for update in read(GITHUB / "dependabot.yml")["updates"]:
        assert (ROOT / update["directory"].strip("/")).is_dir()
        if update["package-ecosystem"] != "npm":
            continue
        lock = json.loads((ROOT / update["directory"].strip("/") / "package-lock.json").read_text("utf-8"))
        packages = {name: entry for name, entry in lock["packages"].items() if name}
        assert packages
        for entry in packages.values():
            assert entry["integrity"].startswith("sha512-")
            assert "resolved" not in entry  # the registry is the reader's own


# -- pages and versions


def test_the_commands_of_contributing_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"(?:\$ |`)make ([a-z]+)", page))
    assert {"fast", "test", "lint", "docs"} <= named <= TARGETS
    for file in re.findall(r"python (?:-m pytest )?([\w/.]+\.py)", page):
        assert (ROOT / file).is_file(), file
    for package in re.findall(r"git tag (\S+)", page):
        assert released(package)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_demo_needs_neither_browser_nor_npm(tmp_path):
    def steps_of(target: str) -> str:
        command = ["make", "--dry-run", target, f"VENV={tmp_path / 'venv'}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "browser_setup.py" in steps_of("test")
    for target in ("demo", "docs", "fast", "lint"):
        assert "browser" not in steps_of(target), target


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_and_variables_of_the_pages_exist(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", page):
        assert target.startswith("https://github.com/org/segzoo") or (ROOT / target).exists(), target
    sources = "".join(path.read_text("utf-8") for path in ROOT.glob("segzoo/**/*.py"))
    for variable in re.findall(r"SEGZOO_[A-Z_]+", page):
        assert variable in sources, variable


def test_pre_commit_runs_the_tools_of_the_environment():
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    lint = (ROOT / "Makefile").read_text("utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    wanted = set(re.findall(r"\$\(BIN\)/([\w-]+)", lint))
    found = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    assert found == wanted
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert hook["language"] == "system"


def test_the_citation_is_valid_and_of_this_version():
    cited = read(ROOT / "CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cited)  # what the format demands
    assert cited["type"] in {"software", "dataset"}
    assert str(cited["version"]) == segzoo.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cited["license"] == project["license"] == "Apache-2.0"
    assert {"name": project["authors"][0]["name"]} in cited["authors"]
    for reference in cited["references"]:
        assert {"type", "title", "authors"} <= set(reference)
    people = [author for entry in (cited, *cited["references"]) for author in entry["authors"]]
    for author in people:
        assert set(author) <= {"name", "given-names", "family-names", "orcid"}
    for identifier in (one for entry in cited["references"] for one in entry.get("identifiers", [])):
        assert identifier["type"] in {"doi", "url", "swh", "other"}
        assert identifier["value"]


def test_the_changelog_and_the_plugins_know_this_version():
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert headings[0] == "Unreleased" or headings[0].split()[0] == segzoo.__version__
    released = [heading.split()[0] for heading in headings if heading != "Unreleased"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in released)
    assert len(set(released)) == len(released)
    major, minor, *_ = segzoo.__version__.split(".")
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
        assert f"segmentation-zoo>={major}.{minor}.0,<{major}.{int(minor) + 1}" in project["dependencies"], (
            package.name
        )
