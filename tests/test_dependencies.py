from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
KNOWN_BAD = {
    # the advisory, and the versions that were uploaded by a thief
    "lightning": ("GHSA-w37p-236h-pfx3", ("2.6.2", "2.6.3")),
    "pytorch-lightning": ("GHSA-w37p-236h-pfx3", ("2.6.2", "2.6.3")),
}


def requirements(project: dict[str, Any]) -> list[Requirement]:
    """Every requirement: of the build, the package, its extras and the groups of development."""
    listed = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"].get("optional-dependencies", {}).values(),
        *project.get("dependency-groups", {}).values(),
    ]
    return [Requirement(text) for group in listed for text in group if isinstance(text, str)]


def bad(project: dict[str, Any]) -> list[str]:
    """The known-bad versions that a requirement admits."""
    found = []
    for requirement in requirements(project):
        advisory, versions = KNOWN_BAD.get(canonicalize_name(requirement.name), ("", ()))
        found += [f"{requirement}: {v} ({advisory})" for v in versions if requirement.specifier.contains(v, True)]
    return found


def test_no_known_bad_version_is_admitted() -> None:
    assert bad(PROJECT) == []


@pytest.mark.parametrize(
    ("place", "text", "count"),
    [
        ("dependencies", "lightning>=2.5", 2),
        ("dependencies", "Lightning>=2.5,!=2.6.2", 1),
        ("dependencies", "pytorch_lightning==2.6.3", 1),
        ("optional-dependencies", "lightning[extra]; sys_platform == 'linux'", 2),
        ("dependency-groups", "lightning", 2),
        ("dependencies", "lightning>=2.5,<2.6", 0),
    ],
)
def test_a_known_bad_version_is_found_wherever_it_is_admitted(place: str, text: str, count: int) -> None:
    project: dict[str, Any] = {"build-system": {"requires": []}, "project": {"dependencies": []}}
    if place == "dependencies":
        project["project"][place] = [text]
    elif place == "optional-dependencies":
        project["project"][place] = {"more": [text]}
    else:
        project[place] = {"more": [{"include-group": "build"}, text]}
    assert len(bad(project)) == count


def test_every_dependency_has_a_lower_bound() -> None:
    for requirement in requirements(PROJECT):
        assert any(s.operator in (">=", "==", "~=") for s in requirement.specifier), requirement


def test_what_lightning_brings_along_is_bounded_too() -> None:
    named = [r for r in requirements(PROJECT) if r.name == "pytorch-lightning"]
    assert named, "lightning depends on pytorch-lightning without an upper bound"
    assert not any(version in r.specifier for r in named for version in ("2.6.2", "2.6.3"))
