"""pytest in other people's projects: nothing of ours in the way, and what is asked for done."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from calls import PLUGIN
from claim_factory import least, text_of

from actbench import claims, pytest_plugin
from actbench.pytest_plugin import OPTIONS, claim_tests
from actbench.runs import evidence
from actbench.store import datasets
from actbench.study import pytest_activation
from actbench.study.experiments import closed_forms

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_other_plugins")

CONSTANT = {"name": "closed_form", "quantity": "best_constant_mse", "target": "sine_two_periods"}
HALF = ("closed", CONSTANT, "equals", 0.4975, 0.001)
CLAIMS = text_of(
    least("wrong-on-purpose", *HALF, quantifier="exact", expected="not_reproduced"),
    least("right", *HALF, quantifier="exact", expected="reproduced"),
    closed={"experiment": "closed-forms"},
)
MINE = "import torch\n\ndef mine(x):\n    return x * torch.sigmoid(x)\n"

FIXTURES = (
    *("claim", "claims_file", "judgment", "training_device", "protocol_dataset"),
    *("own_candidate", "own_activation", "own_check"),
)


@pytest.fixture(autouse=True, scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Load what inner runs would: they drop what they loaded, and not all can be loaded twice."""
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    datasets.save(closed_forms.run(closed_forms.Config()), folder / "closed.nc")
    file = claims.load(folder / "claims.toml")
    evidence.check_settings(file)
    evidence.judge_all(file, lambda name: datasets.load(folder / "closed.nc"))
    assert {claim_tests, pytest_activation} <= set(sys.modules.values())


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    """Run pytest in the folder of a stranger, with the plugin once."""
    result = pytester.runpytest_inprocess(*PLUGIN, *arguments)
    assert not any("INTERNALERROR" in line for line in result.outlines)
    return result


SHORT = [name for name in OPTIONS if name != "strict"]  # which is pytest's own


def test_a_project_keeps_its_options(pytester: pytest.Pytester) -> None:
    """It may have one of any name that ours have without the prefix; else there is none such."""
    given = [f"--{name}=here" for name in SHORT]
    refused = run(pytester, *given)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"*unrecognized arguments: {' '.join(given)}"])
    pytester.makeconftest(
        "def pytest_addoption(parser):\n"
        f"    for name in {SHORT}: parser.addoption(f'--{{name}}', dest=f'its {{name}}')"
    )
    pytester.makepyfile(
        "def test_it(pytestconfig):\n"
        f"    for name in {SHORT}: assert pytestconfig.getoption(f'its {{name}}') == 'here'"
    )
    run(pytester, *given).assert_outcomes(passed=1)


def test_a_project_keeps_its_fixtures(pytester: pytest.Pytester) -> None:
    """A fixture of any name is the project's own, and one that is missing is missing."""
    pytester.makepyfile(
        "import pytest\n"
        + "".join(f"@pytest.fixture\ndef {n}(): return 'mine'\n" for n in FIXTURES)
        + "".join(f"def test_{n}({n}): assert {n} == 'mine'\n" for n in FIXTURES),
        test_missing="".join(f"def test_{n}({n}): pass\n" for n in FIXTURES),
    )
    result = run(pytester)
    result.assert_outcomes(passed=len(FIXTURES), errors=len(FIXTURES))
    result.stdout.fnmatch_lines([f"*fixture '{name}' not found" for name in FIXTURES])


def test_a_project_keeps_its_marks(pytester: pytest.Pytester) -> None:
    """No mark is registered by us, so that a project that is strict learns of its omission."""
    pytester.makepyfile("import pytest\n@pytest.mark.claim\n@pytest.mark.slow\ndef test_it(): pass")
    result = run(pytester, "--strict-markers")
    result.stdout.fnmatch_lines(["'claim' not found in `markers` configuration option"])
    run(pytester, "-W", "ignore", "-m", "slow and claim").assert_outcomes(passed=1)


@pytest.mark.parametrize("shown", ["--fixtures", "--markers", "--help"])
def test_what_pytest_lists_is_the_same_without_us(pytester: pytest.Pytester, shown: str) -> None:
    """As without the plugin, except for the fixture ``judge`` and options with our prefix."""
    pytester.makepyfile("def test_it(): pass")
    with_us = run(pytester, shown, "-v").outlines
    without = pytester.runpytest_inprocess(*PLUGIN[2:], shown, "-v").outlines
    if shown == "--help":
        assert any("--actbench-claims" in line for line in with_us)
        start = with_us.index("claims with verdicts:")
        end = start + with_us[start:].index("") + 1
        assert all(re.match(r"  --actbench-|   ", line) for line in with_us[start + 1 : end - 1])
        del with_us[start:end]
    if shown == "--fixtures":
        start = next(n for n, line in enumerate(with_us) if line.startswith("judge -- "))
        assert with_us[start - 1].startswith("---")  # it is the only one of ours
        del with_us[start - 1 : start + 4]
    skipped = ("plugins: ", "====")  # our name, and how long it took
    known = [[x for x in lines if not x.startswith(skipped)] for lines in (with_us, without)]
    assert known[0] == known[1]


def test_a_session_without_our_options_loads_and_hooks_next_to_nothing(
    pytester: pytest.Pytester,
) -> None:
    """No hook is called per file or test, and no module but those of the options is imported."""
    hooks = {name for name in vars(pytest_plugin) if name.startswith("pytest_")}
    assert hooks == {"pytest_addoption", "pytest_configure"}
    pytester.makepyfile(
        """
        import sys

        def test_loaded():
            ours = {name for name in sys.modules if name.partition(".")[0] == "actbench"}
            core = {"actbench", "actbench.store", "actbench.store.errors"}
            assert ours == {*core, "actbench.pytest_plugin"}
            assert "torch" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "arguments"),
    [
        ("python_functions = check_*", ()),
        ("python_functions = check_*", ("test_one.py",)),
        ("python_files = check_*.py\npython_classes = Check", ()),
        ("testpaths = nowhere", ()),
        ("testpaths = test_one.py", ()),
        ("norecursedirs = *", ()),
        ("addopts = --ignore=claims.toml --ignore-glob=*", ()),
        ("addopts = --strict-markers --strict-config --import-mode=importlib", ()),
        ("addopts = -p no:python -p no:doctest -p no:junitxml", ()),
        ("addopts = -p no:tmpdir -p no:terminalreporter", ()),
        ("usefixtures = not_there", ()),
        ("xfail_strict = false", ()),
        ("filterwarnings = error", ()),
        ("junit_family = legacy", ("--junitxml=junit.xml",)),
        ("addopts = --doctest-modules --doctest-glob=*.toml", ()),
    ],
)
def test_no_setting_of_a_project_hides_a_claim(
    pytester: pytest.Pytester, ini: str, arguments: tuple[str, ...]
) -> None:
    """A claim that is pinned wrongly fails, whatever the project's ini says."""
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(test_one="def check_one(): pass")
    pytester.makeconftest(
        "import pytest\ncollect_ignore_glob = ['*.toml']\n"
        "@pytest.fixture(autouse=True)\ndef broken(): raise RuntimeError"
    )
    (pytester.path / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    result = run(pytester, "--actbench-claims=claims.toml", "--actbench-threads=1", *arguments)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    if "terminalreporter" not in ini:
        result.stdout.fnmatch_lines(["wrong-on-purpose is reproduced, but not_reproduced was *"])
        assert result.parseoutcomes()["failed"] == 1


def test_what_a_user_deselects_is_their_choice(pytester: pytest.Pytester) -> None:
    """`-k` of nothing is pytest's exit code 5; nothing to judge in what is named is its 4."""
    (pytester.path / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    given = ("--actbench-claims=claims.toml", "--actbench-threads=1")
    assert run(pytester, *given, "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    (pytester.path / "none.toml").write_text(CLAIMS.partition("[[claim]]")[0], encoding="utf-8")
    for name in ("none.toml", "nowhere.toml", "."):
        assert run(pytester, f"--actbench-claims={name}").ret == pytest.ExitCode.USAGE_ERROR
    assert run(pytester, "--actbench-activation=nowhere.py:it").ret == pytest.ExitCode.TESTS_FAILED


PLACES = (
    *("a [x]/claims.toml", "a::b/claims.toml", "a b/[/c].toml", "claims[1]::two.toml"),
    *("%.toml", "test_claims.py", "ü/conftest.toml", "claims", "clone/baselines/claims.toml"),
)


def test_a_claims_file_may_lie_anywhere(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any folder, from any folder, beside any conftest; its ids can be given back."""
    paths = [pytester.path / place for place in PLACES]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CLAIMS, encoding="utf-8")
    # A conftest with this is one that pytest takes only at the top.
    (pytester.path / "clone/conftest.py").write_text("pytest_plugins = ['pytester']")
    elsewhere = pytester.mkdir("elsewhere")
    calls = [(elsewhere, [str(path) for path in paths])]
    calls += [(path.parent, [path.name]) for path in paths]
    for folder, names in calls:
        monkeypatch.chdir(folder)
        given = (*(f"--actbench-claims={name}" for name in names), "--actbench-threads=1", "-rp")
        result = run(pytester, *given)
        result.assert_outcomes(passed=len(names), failed=len(names))
        passed = [line.removeprefix("PASSED ") for line in result.outlines if line[:6] == "PASSED"]
        run(pytester, *given, *passed).assert_outcomes(passed=len(names))


@pytest.mark.parametrize("folder", [".", "sub", "sub [x]", "a::b"])
def test_the_tests_of_an_activation_can_be_given_back(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """As they are printed, from their folder and from others; what is not there is said."""
    pytester.makepyfile(mine=MINE, test_other="def test_other(): pass")
    pytester.makeini("[pytest]\npython_functions = check_*")
    monkeypatch.chdir(pytester.mkdir(folder) if folder != "." else pytester.path)
    path = pytester.path / "mine.py:mine"
    given = f"--actbench-activation={os.path.relpath(path)}"
    for name in ("mine.py:mine::runs", f"{path}::runs", f"{os.path.relpath(path)}::runs"):
        result = run(pytester, given, name, "-rp")
        result.assert_outcomes(passed=1)
        assert f"PASSED {os.path.relpath(path)}::runs" in result.outlines
    result = run(pytester, given, "mine.py:mine::runz")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: not found: mine.py:mine::runz; mine.py:mine has runs, *"])


def test_short_forms_are_offered_where_they_are_free(pytester: pytest.Pytester) -> None:
    """This repository's conftest leaves out what another plugin has, in silence."""
    pytester.makepyfile(
        other="def pytest_addoption(parser): parser.getgroup('x').addoption('--slow', dest='it')",
        test_it="""
        def test_it(pytestconfig):
            assert pytestconfig.getoption("it") == "theirs"
            assert pytestconfig.getoption("actbench_seeds") == 7
            assert not pytestconfig.getoption("actbench_slow")
        """,
    )
    root = str(Path(__file__).parents[1] / "conftest.py")
    pytester.makeconftest(
        f"""
        from importlib.util import module_from_spec, spec_from_file_location
        spec = spec_from_file_location("root", {root!r})
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        pytest_addoption = module.pytest_addoption
        """
    )
    pytester.syspathinsert()
    run(pytester, "-p", "other", "--slow=theirs", "--seeds=7").assert_outcomes(passed=1)
