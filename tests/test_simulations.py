"""Each rule errs no more often than it promises, whatever the distribution; a mean's excess."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from claim_factory import claim

from actbench.claims.looks import judge_sequential
from actbench.claims.simulations import (
    DISTRIBUTIONS,
    LEVELS,
    MEANS,
    SHARE,
    Rule,
    false_share,
    rules,
    table,
)
from actbench.claims.verdicts import judge_values

REPETITIONS = 10_000
PAGE = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## Simulated\n")[1].split("```\n")[1].strip()


def values_of(rule: Rule, distribution: str, rows: int) -> np.ndarray[tuple[int, int]]:
    """Draw as the simulation does."""
    uniform = np.random.default_rng(7).random((rows, rule.runs))
    return DISTRIBUTIONS[distribution](uniform, rule.below)


@pytest.mark.parametrize("alpha", LEVELS)
@pytest.mark.parametrize("place", range(6))
def test_false_verdicts(place: int, alpha: float) -> None:
    """As many as calculated, so at most the level; of a mean more, where values are skewed."""
    rule = rules(alpha)[place]
    for number, name in enumerate(DISTRIBUTIONS):
        found = false_share(rule, name, REPETITIONS, 1000 * place + number)
        if rule.exact is None:
            assert (found is None) == (name not in MEANS)
            if name == "normal":
                assert found == pytest.approx(alpha, abs=4 * math.sqrt(alpha / REPETITIONS))
            if name == "lognormal":
                assert found is not None
                assert found > alpha + 4 * math.sqrt(alpha / REPETITIONS)
        else:
            assert rule.exact <= alpha
            noise = 4 * math.sqrt(rule.exact / REPETITIONS)
            assert found == pytest.approx(rule.exact, abs=noise)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_what_is_simulated_is_what_judges(distribution: str) -> None:
    """Row by row the simulated rules decide as the judge does, for loose levels too."""
    for alpha in (0.4, 0.05):
        for rule, quantifier in zip(
            rules(alpha), ("median", "median", "every", "every", "mean", "mean"), strict=True
        ):
            if quantifier == "mean" and distribution not in MEANS:
                continue
            mean = MEANS.get(distribution, 0.0)
            bound = mean if quantifier == "mean" else 0.0
            asked = claim({"kind": "above", "value": bound}, quantifier, share=SHARE)
            rows = values_of(rule, distribution, 60)
            if "until" in rule.name:
                told = [judge_sequential(asked, row, alpha)[0] is not None for row in rows]
            else:
                told = [judge_values(asked, row, alpha).verdict != "inconclusive" for row in rows]
            assert told == rule.decides(rows, mean).tolist()
            if alpha == 0.4:
                assert any(told)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_truth_lies_on_the_bound(distribution: str) -> None:
    """The share that does not reach it is the one that is asked for, and the mean is the mean."""
    uniform = (np.arange(200_000) + 0.5) / 200_000
    for below in (0.5, 1 - SHARE):
        values = DISTRIBUTIONS[distribution](uniform, below)
        assert np.mean(~(values >= 0)) == pytest.approx(below, abs=1e-5)
    if distribution in MEANS:
        mean = DISTRIBUTIONS[distribution](uniform, 0.5).mean()
        assert mean == pytest.approx(MEANS[distribution], abs=1e-3)


def test_the_table_of_the_page_has_every_rule_within_noise() -> None:
    """Its rows are those of a shorter simulation; the slow test prints it to the last digit."""
    page, short = (
        [re.split(r" \| ", line.strip("| ")) for line in text.splitlines()]
        for text in (TABLE, table(2000))
    )
    assert [row[:3] for row in page[2:]] == [row[:3] for row in short[2:]]
    assert page[:2] == short[:2]


@pytest.mark.slow
def test_the_table_of_the_page_is_what_the_command_prints() -> None:
    """Half a minute: python -m actbench.claims.simulations."""
    assert table() == TABLE
