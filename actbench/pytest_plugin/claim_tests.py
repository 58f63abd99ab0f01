"""Tests of claims: collected by no project's rules, how each ends, and what a session found."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actbench.pytest_plugin import devices_of, value_of
from actbench.pytest_plugin.trainings import trainings_of
from actbench.store import studies
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    from actbench.claims import Claim, ClaimsFile
    from actbench.claims.verdicts import Judgment


class OwnTest(pytest.Item):
    """A test that is no Python function, so that no project's rules for those apply to it."""

    @abstractmethod
    def check(self) -> None:
        """Do what is to be tested; an ``ActbenchError`` fails the test in one line."""

    def runtest(self) -> None:
        """Run the check."""
        try:
            self.check()
        except ActbenchError as error:
            mistake = str(error)
        else:
            return
        pytest.fail(mistake, pytrace=False)  # outside, so that the line stands alone

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where it stands; pytest wants a line for what is skipped."""
        return self.path, 0, self.name


class NotReproduced(AssertionError):  # noqa: N818 - the name of a finding, not of an error
    """The verdict is the expected one, and it is not that the claim holds."""


def check_expected(
    judgment: Judgment, file: ClaimsFile | None = None, *, strict: bool = False
) -> None:
    """End a claim's test as its verdict says."""
    from actbench.claims import Verdict

    claim = judgment.claim
    if not judgment.as_expected:
        if judgment.lacks_runs and not strict:
            pytest.skip(f"needs {judgment.seeds_needed} seeds, {judgment.seeds} were run")
        look_at = f"actbench claims show {claim.id}"
        if file is not None and not file.of_the_study:
            look_at = f"actbench verify {shlex.quote(str(file.path))}"
        pytest.fail(
            f"{claim.id} is {judgment.verdict}, but {claim.expected} was expected.\n"
            f"claim:    {claim.statement}\n"
            f"measured: {judgment.sentence}\n"
            f"look at:  {look_at}",
            pytrace=False,
        )
    if claim.expected is not None and judgment.verdict is not Verdict.REPRODUCED:
        raise NotReproduced(f"{judgment.verdict}: {judgment.sentence}. {claim.because}")


_CLAIMS = pytest.StashKey[dict[Path | None, "ClaimsFile"]]()


def claims_of(config: pytest.Config, path: Path | None = None) -> ClaimsFile:
    """Return the claims of a file, the study's by default, read once per session."""
    from actbench import claims

    known = config.stash.setdefault(_CLAIMS, {})
    if path not in known:
        known[path] = claims.published() if path is None else claims.load(path)
    return known[path]


def _check_file(config: pytest.Config, path: Path) -> None:
    """Read a file, check its settings and that its code may run, before anything is collected."""
    from actbench.runs.evidence import check_settings
    from actbench.runs.sources import Sources

    try:
        file = claims_of(config, path)
        sources = Sources(file, allow_code=value_of(config, "allow-code"))
        sources.require_allowed()
        sources.load_own()
        check_settings(file)
    except ActbenchError as error:
        raise pytest.UsageError(str(error)) from error


class ClaimsNode(pytest.File):
    """A claims file; its tests are named after claim and, where there are several, device."""

    def collect(self) -> Iterator[pytest.Item]:
        """Make a test for each claim and device."""
        file = claims_of(self.config, self.path)
        devices = devices_of(self.config)
        for claim in file.claim:
            for device in devices:
                name = claim.id if len(devices) == 1 else f"{claim.id}[{device}]"
                test: pytest.Item = _ClaimTest.from_parent(
                    self, name=name, file=file, claim=claim, device=device
                )
                for mark in marks_of(claim):
                    test.add_marker(mark)
                yield test


class _ClaimTest(OwnTest):
    def __init__(self, *, file: ClaimsFile, claim: Claim, device: str, **node: Any) -> None:
        super().__init__(**node)
        self._subject = (file, claim, device)

    def check(self) -> None:
        file, claim, device = self._subject
        judgment = trainings_of(self.config).judge(self, file, claim, device)
        check_expected(judgment, file, strict=value_of(self.config, "strict"))


def marks_of(claim: Claim) -> list[pytest.MarkDecorator]:
    """Return what the claim's pinned verdict asks of its test."""
    from actbench.claims import Verdict

    if claim.expected is Verdict.NOT_TESTABLE:
        return [pytest.mark.skip(reason=f"not testable: {claim.because}")]
    if claim.expected in (None, Verdict.REPRODUCED):
        return []
    # The summary puts what was judged in place of this reason.
    return [pytest.mark.xfail(raises=NotReproduced, strict=True, reason=claim.because)]


class Asked:
    """A plugin that adds what was named to what is collected anyway.

    Its ids may be given as arguments, as for any test: as they are printed, seen from the current
    folder, or from another one.
    """

    def __init__(self, config: pytest.Config) -> None:
        here = config.invocation_params.dir
        claims = [(here / path).resolve() for path in value_of(config, "claims")]
        self._nodes: dict[Path, type[pytest.File]] = dict.fromkeys(claims, ClaimsNode)
        for given in value_of(config, "activation"):
            node = studies.own_part("tests").ActivationNode
            self._nodes[node.address(config, given)] = node
        if not hasattr(config, "workerinput"):  # once is enough
            for path in claims:
                _check_file(config, path)
        self._chosen: dict[Path, dict[str, str]] = {}
        self._folders = (here, config.rootpath)
        others = [argument for argument in config.args if not self._chooses(argument)]
        if config.args_source is pytest.Config.ArgsSource.ARGS:
            config.args[:] = others
        elif claims:
            config.args[:] = []

    def _chooses(self, argument: str) -> bool:
        """Take an argument that names one of the nodes, or a test of one."""
        place, _, test = argument.rpartition("::")
        for reading, name in ((argument, ""), (place, test)):
            for node in self._nodes:
                same = node in [(folder / reading).resolve() for folder in self._folders]
                if reading and (same or node.as_posix().endswith(f"/{reading}")):
                    self._chosen.setdefault(node, {})[name] = argument
                    return True
        return False

    @pytest.hookimpl(wrapper=True)  # so that -k and -m, and every plugin, choose among these too
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Iterator[None]:
        """Add the tests of every node."""
        root = session.config.rootpath
        for path, kind in self._nodes.items():
            inside = path.is_relative_to(root)
            nodeid = (path.relative_to(root) if inside else path).as_posix()
            node = kind.from_parent(session, path=path, nodeid=nodeid)
            found = list(session.genitems(node))
            wanted = self._chosen.get(path, {"": ""})
            for name in wanted.keys() - {"", *(form for item in found for form in _forms(item))}:
                raise pytest.UsageError(
                    f"not found: {wanted[name]}; {path.name} has {', '.join(i.name for i in found)}"
                )
            items += [i for i in found if "" in wanted or wanted.keys() & _forms(i)]
        return (yield)


def _forms(item: pytest.Item) -> set[str]:
    return {item.name, item.name.partition("[")[0]}  # on every device, too


_LOW_MARGIN = 2.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of an expected failure what was measured now, not what is stored."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(NotReproduced):
        report.wasxfail = str(call.excinfo.value)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the verdicts, and name the claims that are close to flipping."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", [])
        if key == "actbench" and getattr(report, "when", "") == "call"
    ]
    if not rows:
        return
    terminalreporter.section("claims")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    terminalreporter.write_line(", ".join(f"{n} {v}" for v, n in sorted(counts.items())))
    stored = sorted(row["id"] for row in rows if row["stored"])
    if stored:
        terminalreporter.write_line(
            f"judged from stored measurements (--actbench-slow trains them): {', '.join(stored)}"
        )
    for row in sorted(rows, key=lambda r: r["margin"] or 0):
        if row["margin"] is not None and row["kind"] != "equals" and row["margin"] < _LOW_MARGIN:
            terminalreporter.write_line(
                f"margin {row['margin']:.2f}x: {row['id']} ({row['verdict']})"
            )
