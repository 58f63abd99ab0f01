"""What pip is asked for when an environment is made."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from actbench.store.errors import DISTRIBUTION, EXTRAS, ActbenchError
from actbench.tracking.releases import environments
from actbench.tracking.releases.environments import installed_pins, own_source


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: object) -> None:
    """Play an installation outside of a clone, with this PEP 610 metadata."""
    place = tmp_path / "site" / "actbench" / "releases" / "installation.py"
    monkeypatch.setattr(environments, "__file__", str(place))
    monkeypatch.setattr(environments, "installed_version", lambda _: "0.1.0")
    text = None if address is None else json.dumps(address)
    monkeypatch.setattr(
        environments, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text)
    )


def test_a_clone_is_installed_from_its_folder() -> None:
    """What runs here runs there, changed files too, with what the study takes where it is asked."""
    assert Path(own_source()) == Path(__file__).parents[1]
    assert own_source("study") == f"{own_source()}[study]"


def test_there_is_one_name_and_one_list_of_extras() -> None:
    """What the program tells to install is what pyproject.toml has; its extras ask for it, too."""
    content = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(content)["project"]
    assert project["name"] == DISTRIBUTION
    extras = {
        extra: {Requirement(line) for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    named = {"PIL": "pillow", "dask": "distributed"}
    for extra, modules in EXTRAS.items():
        others = {r.name for r in extras[extra]} - {DISTRIBUTION}
        assert others == {named.get(module, module) for module in modules}
    example = Path(__file__).parents[1] / "examples" / "package" / "pyproject.toml"
    asked = tomllib.loads(example.read_text(encoding="utf-8"))["project"]["dependencies"]
    assert [Requirement(line).name for line in asked] == [DISTRIBUTION]
    core = {Requirement(line).name for line in project["dependencies"]}
    assert not core & {r.name for r in extras["study"]}
    own = {
        e: set().union(*(r.extras for r in rs if r.name == DISTRIBUTION))
        for e, rs in extras.items()
    }
    assert "study" in own["scale"] & own["test"]
    assert "test" in own["dev"]
    assert not {r.name for rs in extras.values() for r in rs} & {"actbench"}  # another project


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (None, f"{DISTRIBUTION}[study]==0.1.0"),
        (
            {"url": "https://x.example/a.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            f"{DISTRIBUTION}[study] @ git+https://x.example/a.git@0a1b",
        ),
        (
            {"url": "https://x.example/a.whl", "archive_info": {}},
            f"{DISTRIBUTION}[study] @ https://x.example/a.whl",
        ),
    ],
    ids=["index", "git", "archive"],
)
def test_the_same_actbench_is_found_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: object, source: str
) -> None:
    """From the index, from a commit, from an archive: as it was installed."""
    installed(monkeypatch, tmp_path, address)
    assert own_source("study") == source
    assert own_source() == source.replace("[study]", "")


def test_a_folder_is_found_again_or_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path with a space and a percent sign is read right; a folder that is gone is named."""
    folder = tmp_path / "my 100% clone"
    installed(monkeypatch, tmp_path, {"url": folder.as_uri(), "dir_info": {}})
    with pytest.raises(ActbenchError, match=r"^actbench was installed from .* which is gone"):
        own_source()
    folder.mkdir()
    assert own_source() == str(folder)
    assert own_source("study") == f"{folder}[study]"


def test_torch_and_what_it_alone_needs_is_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What actbench needs is pinned, its needs too, without builds, extras and other systems."""
    packages = {
        DISTRIBUTION: (
            "0.1",
            ["Pretty_Print>1", "torch>=2.6; extra == 'study'", "pytest; extra == 'test'"],
        ),
        "torch": ("2.13.0+cpu", ["sympy==1.13.1", "deep"]),
        "pretty-print": ("3.0+local", ["deep>=1", "winonly; sys_platform == 'nowhere'"]),
        "deep": ("1.2", None),
        "sympy": ("1.14", None),
    }

    def distribution(name: str) -> SimpleNamespace:
        version, requires = packages[name]
        return SimpleNamespace(version=version, requires=requires)

    monkeypatch.setattr(environments, "distribution", distribution)
    assert installed_pins() == {"deep": "1.2", "pretty-print": "3.0"}
    # What needs a package that is free is free, too.
    assert installed_pins(["deep"]) == {"sympy": "1.14"}


def test_the_real_pins_hold_numpy_but_not_torch() -> None:
    """Of the packages that are installed here, those that decide numbers are among the pins."""
    pins = installed_pins()
    assert {"numpy", "scipy", "xarray", "pydantic"} <= pins.keys()
    assert not {"torch", "sympy", DISTRIBUTION} & pins.keys()
