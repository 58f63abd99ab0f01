"""What the fixture ``judge`` gives: runs of a function, as many as it takes, judged at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actbench.claims.picture import as_text
from actbench.runs import judging
from actbench.runs.early import looks_of, until_decided
from actbench.runs.judging import Askable, Runs, bound_of, claim_of, name_of, run
from actbench.store.errors import ActbenchError
from actbench.store.stored import to_json
from actbench.store.studies import FIRST_SEED

if TYPE_CHECKING:
    from actbench.claims import Claim
    from actbench.claims.verdicts import Judgment

__tracebackhide__ = True  # pytest shows the line of the test and those of the user's function
_COLUMNS = 60  # with what stands around it, it fits a terminal of 80
PROPERTY = "actbench_judged"
_UNTIL = "until decided"


@dataclass(frozen=True, eq=False)
class _Growing(Askable):
    """Runs of a function that are made until a claim about them is decided."""

    function: Callable[..., Any]
    settings: Mapping[str, Any]
    largest: int = 100
    number: str = ""
    judged: Callable[[Runs, Judgment], None] = lambda runs, judgment: None

    @property
    def name(self) -> str:
        return name_of(self.function)

    def __getitem__(self, number: str) -> _Growing:
        return replace(self, number=number)

    def _judge(
        self,
        *,
        above: float | None = None,
        below: float | None = None,
        equals: float | None = None,
        alpha: float = 0.01,
        tolerance: float | None = None,
        relative: bool = False,
        **said: Any,
    ) -> Judgment:
        kind, value = bound_of({"above": above, "below": below, "equals": equals}, alpha)
        relation = {"kind": kind, "value": value, "tolerance": tolerance, "relative": relative}
        claim = claim_of(relation, **{"statement": self.name, **said})
        made: list[Runs] = []

        def values(_: Claim, runs: int) -> NDArray[np.float64]:
            first = sum(len(part) for part in made)
            seeds = range(FIRST_SEED + first, FIRST_SEED + runs)
            made.append(run(self.function, seeds, **self.settings))
            return _together(made, self.number).values

        looks = looks_of([claim], lambda _: alpha, self.largest)
        (judgment,) = until_decided([claim], lambda _: alpha, values, looks, self.largest)
        self.judged(_together(made, self.number), judgment)
        return judgment


def _together(parts: list[Runs], number: str) -> Runs:
    """Join runs that were made one after another."""
    seeds = tuple(seed for part in parts for seed in part.seeds)
    numbers = {
        name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers
    }
    whole = replace(parts[0], seeds=seeds, numbers=numbers)
    return whole[number] if number else whole


class DoesNotHoldError(AssertionError):
    """A verdict is another than the expected one."""

    __module__ = "actbench"  # pytest's summary has room for little, and cuts the verdict off


class Judge:
    """The fixture: ``judge(train, seeds=10, lr=0.1).above(0.92, reason="Table 2")``.

    Args:
        test: Whose fixture it is.
    """

    def __init__(self, test: pytest.Item) -> None:
        self._test = test
        self._open: dict[object, str] = {}
        self._failed_before = test.session.testsfailed
        self._count = 0

    def __call__(
        self,
        what: Callable[..., Any] | Runs | Any,
        /,
        seeds: int | Iterable[int] | str = 10,
        *,
        max_seeds: int = 100,
        **settings: Any,
    ) -> Runs | _Growing:
        """Run a function over seeds, or take numbers that are there, to be judged.

        Args:
            what: A function, called with ``seed`` and the settings, which returns a number or
                numbers by name; or numbers, one per run.
            seeds: Those, or how many, from 42 on; ``"until decided"`` makes as many as the claim
                takes, at its level.
            max_seeds: Most runs, until decided.
            settings: What else to give the function.

        Returns:
            The runs, to be ended with ``above``, ``below``, ``equals`` or ``plausible``: these
            return the verdict with its evidence, and fail the test unless it is the expected one,
            by default ``reproduced``.

        Raises:
            ActbenchError: The function returned no number, or what was given holds none.
        """
        runs: Runs | _Growing
        if isinstance(seeds, str):
            if seeds != _UNTIL or not callable(what):
                pytest.fail(
                    f"seeds is {seeds!r}, but must be a number, some seeds, or {_UNTIL!r} with a "
                    "function to run",
                    pytrace=False,
                )
            runs = _Growing(what, settings, max_seeds)
        else:
            runs = self.runs(what, seeds, **settings)
        made = object()
        self._open[made] = runs.name

        # A choice among several numbers is made of these runs, so it ends them too.
        def end(judged: Runs, judgment: Judgment) -> None:
            self._open.pop(made, None)
            self._end(judged, judgment)

        return replace(runs, judged=end)

    def runs(
        self,
        what: Callable[..., Any] | Runs | Any,
        /,
        seeds: int | Iterable[int] = 10,
        **settings: Any,
    ) -> Runs:
        """Run a function over seeds without judging it, so that two can be compared in pairs.

        Arguments and errors are those of a call of ``judge``.
        """
        try:
            if isinstance(what, Runs):
                return what
            if callable(what):
                return judging.run(what, seeds, **settings)
            if settings:
                raise ActbenchError(
                    f"{', '.join(settings)} is for a function, not for {what!r:.60}"
                )
            numbers = judging.numbers_of(what)
            named = tuple(what) if isinstance(what, Mapping) else tuple(range(len(numbers)))
            return Runs(named, {judging.VALUE: numbers})
        except ActbenchError as error:
            mistake = str(error)
        pytest.fail(mistake, pytrace=False)  # outside, so that the line stands alone

    def _end(self, runs: Runs, judgment: Judgment) -> None:
        self._count += 1
        noted = {
            "id": f"{self._test.nodeid}#{self._count}" if self._count > 1 else self._test.nodeid,
            "name": runs.name,
            "settings": {key: repr(value) for key, value in runs.settings.items()},
            "seeds": [str(seed) for seed in runs.seeds],
            "values": [to_json(value) for value in runs.values.tolist()],
            "verdict": str(judgment.verdict),
            "found": judgment.sentence,
        }
        self._test.user_properties += [
            ("verdict", str(judgment.verdict)),
            ("measured", judgment.measured),
            (PROPERTY, noted),
        ]
        if not judgment.as_expected:
            raise DoesNotHoldError(_failure(judgment))

    def close(self) -> None:
        """Refuse to end a test that ran something and judged nothing, unless it failed anyway."""
        for name in self._open.values():
            if self._test.session.testsfailed > self._failed_before:
                return
            pytest.fail(
                f"judge({name}, ...) was not judged; end it with .above(...), .below(...), "
                ".equals(...) or .plausible(...), or take judge.runs",
                pytrace=False,
            )


def _failure(judgment: Judgment) -> str:
    from actbench import ledger

    claim = judgment.claim
    reason = f" ({claim.relation.reason})" if claim.relation and claim.relation.reason else ""
    asked = ledger.rule(claim).removeprefix("its number: ")
    if claim.id == judging.PLAUSIBLE:
        asked = f"{claim.published:.6g} lies where 95 % of further runs do"
    settling = ledger.seeds_to_settle(judgment)
    about = "" if judgment.seeds < judgment.seeds_needed else "about "
    picture = "".join(f"  {line}\n" for line in as_text(judgment, _COLUMNS).splitlines())
    return (
        f"{claim.statement}: {judgment.verdict}, but {claim.expected} was expected\n"
        f"  asked      {asked}{reason}\n"
        f"  found      {judgment.sentence}\n"
        f"{picture}"
        f"  to settle  {f'{about}{settling} seeds' if settling else judgment.to_flip}"
    )


def give(test: pytest.Item) -> Iterator[Judge]:
    """Give a test its ``judge``, and see that what it ran was judged."""
    judge = Judge(test)
    yield judge
    judge.close()
