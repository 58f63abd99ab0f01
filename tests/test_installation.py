"""What pip is asked for when an environment is made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from actbench.errors import ActbenchError
from actbench.releases import installation
from actbench.releases.installation import installed_pins, own_source


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: object) -> None:
    """Play an installation outside of a clone, with this PEP 610 metadata."""
    place = tmp_path / "site" / "actbench" / "releases" / "installation.py"
    monkeypatch.setattr(installation, "__file__", str(place))
    monkeypatch.setattr(installation, "installed_version", lambda _: "0.1.0")
    text = None if address is None else json.dumps(address)
    monkeypatch.setattr(
        installation, "distribution", lambda _: SimpleNamespace(read_text=lambda _: text)
    )


def test_a_clone_is_installed_from_its_folder() -> None:
    """What runs here runs there, changed files too."""
    assert Path(own_source()) == Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (None, "actbench==0.1.0"),
        (
            {"url": "https://x.example/a.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            "actbench @ git+https://x.example/a.git@0a1b",
        ),
        (
            {"url": "https://x.example/a.whl", "archive_info": {}},
            "actbench @ https://x.example/a.whl",
        ),
    ],
    ids=["index", "git", "archive"],
)
def test_the_same_actbench_is_found_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: object, source: str
) -> None:
    """From the index, from a commit, from an archive: as it was installed."""
    installed(monkeypatch, tmp_path, address)
    assert own_source() == source


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


def test_torch_and_what_it_alone_needs_is_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What actbench needs is pinned, its needs too, without builds, extras and other systems."""
    packages = {
        "actbench": ("0.1", ["torch>=2.6", "Pretty_Print>1", "pytest; extra == 'test'"]),
        "torch": ("2.13.0+cpu", ["sympy==1.13.1", "deep"]),
        "pretty-print": ("3.0+local", ["deep>=1", "winonly; sys_platform == 'nowhere'"]),
        "deep": ("1.2", None),
        "sympy": ("1.14", None),
    }

    def distribution(name: str) -> SimpleNamespace:
        version, requires = packages[name]
        return SimpleNamespace(version=version, requires=requires)

    monkeypatch.setattr(installation, "distribution", distribution)
    assert installed_pins() == {"deep": "1.2", "pretty-print": "3.0"}
    # What needs a package that is free is free, too.
    assert installed_pins(["deep"]) == {"sympy": "1.14"}


def test_the_real_pins_hold_numpy_but_not_torch() -> None:
    """Of the packages that are installed here, those that decide numbers are among the pins."""
    pins = installed_pins()
    assert {"numpy", "scipy", "xarray", "pydantic"} <= pins.keys()
    assert not {"torch", "sympy", "actbench"} & pins.keys()
