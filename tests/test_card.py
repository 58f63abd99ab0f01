"""The card: who wins, what is found out about a function, and a small battery from end to end."""

from __future__ import annotations

import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from rich.console import Console
from scipy.special import ndtr

from actbench.claims import measured
from actbench.pages import saving
from actbench.study import own, theory
from actbench.study.card import Card, facts, measures, text
from actbench.study.card.measures import Part, critical_part, parts
from actbench.study.card.page import write
from actbench.study.catalog import activations
from actbench.study.catalog.activations import ACTIVATIONS, Activation
from actbench.study.catalog.targets import TARGETS
from actbench.study.experiments import activation_derivatives
from actbench.study.own import battery

ALPHA = 1e-4
SMOOTH_OR_BENT = ("relu", "gelu", "selu", "elu")


def draws(center: float, count: int, seed: int = 0) -> measures.Values:
    """Values around a center, a tenth of it wide."""
    return center * (1 + 0.1 * np.random.default_rng(seed).standard_normal(count))


@pytest.mark.parametrize(
    ("center", "better", "outcome"),
    [
        (0.1, "low", "wins"),
        (10.0, "low", "loses"),
        (0.1, "high", "loses"),
        (10.0, "high", "wins"),
        (1.0, "low", "ties"),
    ],
)
def test_a_clear_difference_decides_and_chance_does_not(
    center: float, better: Literal["low", "high"], outcome: str
) -> None:
    """Eight seeds against sixteen are enough for a factor of ten, in either direction."""
    values = {"mine": draws(center, 8), "relu": draws(1.0, 16, seed=1)}
    row = measures.row("m", better, values, "mine", ALPHA)
    assert row.outcomes == {"relu": outcome}
    if outcome != "ties":
        assert row.place == (2 if outcome == "loses" else 1)


def test_a_value_that_diverged_is_the_worst() -> None:
    """Not a number counts as infinite error: it never wins, and the median stays a number."""
    bad = np.full(8, np.nan)
    row = measures.row("m", "low", {"mine": bad, "relu": draws(1.0, 16)}, "mine", ALPHA)
    assert row.outcomes == {"relu": "loses"}
    assert row.place == 2
    assert row.estimates["mine"].median == math.inf


def test_equal_values_tie_whatever_the_direction() -> None:
    """The same measurement twice is a tie, and shares its place."""
    values = {"mine": draws(1.0, 8), "relu": draws(1.0, 8), "tanh": np.zeros(8)}
    for better in ("low", "high"):
        row = measures.row("m", better, values, "mine", ALPHA)
        assert row.outcomes["relu"] == "ties"
        assert row.place == (2 if better == "low" else 1)


def test_the_level_of_a_card_is_kept() -> None:
    """Where nothing differs, one in ten comparisons at the level 0.1 is no tie, at most."""
    generator = np.random.default_rng(7)
    wrong = 0
    for _ in range(40):
        values = {str(n): generator.standard_normal(16) for n in range(8)}
        values["mine"] = generator.standard_normal(8)
        wrong += 8 - measures.row("m", "low", values, "mine", 0.1).count("ties")
    assert wrong <= 55  # of 320; those of one card share its values, so they come in clusters


def test_another_spread_alone_neither_wins_nor_loses() -> None:
    """Values around one center, narrow and wide: which median is lower is chance."""
    generator = np.random.default_rng(3)
    for _ in range(30):
        narrow, wide = 1e-3 * generator.standard_normal(32), generator.standard_normal(32)
        for better in ("low", "high"):
            row = measures.row("m", better, {"mine": narrow, "relu": wide}, "mine", 0.01)
            assert row.outcomes == {"relu": "ties"}


def test_costs_within_a_tenth_are_a_tie() -> None:
    """Rounds are compared in pairs: a common drift changes nothing, 5 % is a tie, 30 % is not."""
    drift = 1 + np.arange(41) / 10
    for factor, outcome in ((1.05, "ties"), (1.3, "loses"), (0.7, "wins")):
        noise = draws(1.0, 41) ** 0.1
        values = {"mine": factor * drift * noise, "relu": drift}
        row = measures.row("m", "low", values, "mine", ALPHA, paired=True)
        assert row.outcomes == {"relu": outcome}


@functools.cache
def _facts(key: str) -> dict[str, facts.Fact]:
    config = activation_derivatives.Config(activations=(key,))
    formula = own.formula(activations.get(key).module)
    found = facts.of_function(formula, activation_derivatives.run(config))
    return {fact.label: fact for fact in found}


def test_a_wrong_derivative_beside_a_kink_is_seen() -> None:
    """What a kink allows is what differences are off there: a thousandth more is told."""
    config = activation_derivatives.Config(activations=("selu",))
    derivatives = activation_derivatives.run(config)
    derivatives["derivative"].loc[{"z": 0.0}] += 1e-3
    formula = own.formula(activations.get("selu").module)
    fact = facts.of_function(formula, derivatives)[0]
    assert fact.text.startswith("differs at 1 point, most at 0: autograd says 1.76, ")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Activation]:
    """Load own activations from a file, into a registry that is put back afterwards."""
    monkeypatch.setattr(activations, "OWN", {})
    return own.activation


_FILE = """
import torch


def same(x):
    return torch.relu(x)


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x > 0.5).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def surrogate(x):
    return Surrogate.apply(x) + 0.5 * x


def hard(x):
    return x.clamp(-1, 1)


def step(x):
    return torch.where(x > 0.5, x + 2, x)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a user's; one path, so that its functions are looked at once."""
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(_FILE, encoding="utf-8")
    return path


LOWEST = min(z * ndtr(z) for z in np.linspace(-2, 0, 20001))
FACTS = [
    *((key, "finite differences", "agrees at every point$") for key in SMOOTH_OR_BENT),
    *((key, "jumps", None) for key in (*SMOOTH_OR_BENT, "surrogate", "hard")),
    ("relu", "kinks", "at 0$"),
    ("gelu", "kinks", "none$"),
    ("hard", "kinks", "at -1 and 1; the integrals of mean-field theory below"),
    ("hard", "kinks", ".* off by up to 2 % for q from 0.1 to 10"),
    ("gelu", "range", rf"from {LOWEST:.3g} \(at -0.752\) to 40 \(at 40, where the search ends\)$"),
    ("gelu", "derivative", r"from -0.1289 \(at -1.41\) to 1.129 \(at 1.41\)$"),
    ("sigmoid", "range", r"from about 0 \(at -40, where "),
    ("relu", "range", r"from 0 \("),
    ("surrogate", "finite differences", ".*autograd says 1.5, the differences 0.5 to 0.5"),
    ("step", "jumps", "at 0.5, by 2: autograd's derivative, and all"),
]


@pytest.mark.parametrize(("key", "label", "text"), FACTS)
def test_facts_of_a_function(
    key: str, label: str, text: str | None, file: Path, registered: Callable[[str], Activation]
) -> None:
    """Ranges and bounds are those of the formulas, and what is not so is said.

    SELU is curved beside its kink, where one-sided differences are off by more than elsewhere. A
    surrogate gradient of 1.5 where the slope is 0.5 does not pass for it, and is no jump either; a
    function that is clipped bends at -1 and 1, which integrals feel; a step's derivative is 0 by
    autograd and by differences on either side.
    """
    if key not in activations.ACTIVATIONS and key not in activations.FURTHER:
        key = registered(f"{file}:{key}").key
    found = _facts(key)
    assert (label in found) == (text is not None)
    if text is not None:
        assert re.match(text, found[label].text)
        assert found[label].good == (label != "jumps" and not key.endswith(":surrogate"))


def test_the_error_of_the_integrals_is_that_to_a_closed_form() -> None:
    """E[phi'^2] of relu(z - 1) is the normal tail beyond 1/sqrt(q)."""

    def from_1(z: measures.Values) -> measures.Values:
        return np.asarray(np.maximum(z - 1, 0), dtype=np.float64)

    late = theory.Formula(from_1, lambda z: np.where(z > 1, 1.0, 0.0))
    worst = max(
        abs(float(theory.gaussian_mean(late.derivative, q)) / ndtr(-1 / math.sqrt(q)) - 1)
        for q in (0.1, 1.0, 10.0)
    )
    assert facts.quadrature_error(late) == pytest.approx(worst, rel=0.02)
    for smooth in ("tanh", "gelu", "relu"):
        assert facts.quadrature_error(theory.formula_of(smooth)) < 1e-4


@pytest.mark.parametrize(
    ("key", "w2", "b2", "q"),
    [
        ("relu", 2.0, 0.0, None),
        ("leaky_relu", 2 / (1 + 1e-4), 0.0, None),
        ("linear", 1.0, 0.0, None),
        ("tanh", 1.0, 0.0, 0.0),
    ],
)
def test_critical_points_by_torch_are_the_known_ones(
    key: str, w2: float, b2: float, q: float | None
) -> None:
    """He's sigma_w^2 = 2 / (1 + slope^2), and 1 for tanh, from torch's own functions."""
    point = facts.critical(own.formula(ACTIVATIONS[key].module))
    assert point is not None
    assert point.sigma_w2 == pytest.approx(w2, rel=1e-6)
    assert (point.sigma_b2, point.q) == (b2, q)


@pytest.mark.parametrize("key", ["gelu", "swish", "elu", "sigmoid"])
def test_a_deep_network_comes_to_the_critical_point(key: str) -> None:
    """Following q through 2000 layers from 1 ends where chi is 1, by the NumPy formulas."""
    formula = own.formula(ACTIVATIONS[key].module)
    point = facts.critical(formula)
    assert point is not None
    assert facts.settles(formula, point)
    q = np.asarray(1.0)
    for _ in range(2000):
        q = theory.next_q(key, q, point.sigma_w2, point.sigma_b2)
    assert float(theory.chi(key, q, point.sigma_w2)) == pytest.approx(1, abs=2e-3)


def test_a_function_without_a_critical_point_has_none() -> None:
    """Where the slope is 0 for every finite q no weights make chi 1, and nothing is raised."""
    flat = theory.Formula(np.zeros_like, np.zeros_like)
    assert facts.critical(flat) is None
    (field,) = facts.fields(flat, ["he_normal"], lambda key: None)
    assert field.predicted is None
    assert text.field_values(field)[3:] == ("-", "-")


def _shrink(z: measures.Values) -> measures.Values:
    return np.asarray(np.sign(z) * np.maximum(np.abs(z) - 0.5, 0))


def test_a_derivative_of_0_around_0_does_not_hide_critical_points() -> None:
    """Soft shrinkage has none for small q, and others: chi = sigma_w^2 P(|z| > 1 / (2 sqrt(q)))."""
    shrink = theory.Formula(_shrink, lambda z: np.where(np.abs(z) > 0.5, 1.0, 0.0))
    point = facts.critical(shrink)
    assert point is not None
    assert point.q is not None
    assert point.sigma_w2 * 2 * ndtr(-0.5 / math.sqrt(point.q)) == pytest.approx(1, rel=0.04)
    assert point.sigma_b2 > 0
    assert theory.critical_at(shrink, 1e-24).sigma_w2 == math.inf
    assert theory.critical(shrink) == ()


def _mish(z: measures.Values) -> measures.Values:
    return np.asarray(z * np.tanh(np.logaddexp(0, z)))


def _card_with(*fields: facts.Field) -> Card:
    return Card("m", "m", "", "", {}, (), fields, None, False, (), ALPHA, ())


def test_chi_of_a_fixed_point_that_is_not_reached_is_marked() -> None:
    """From he_normal mish keeps q above 5 for 50 layers, where chi of q* = 0 says nothing."""

    def slope(z: measures.Values) -> measures.Values:
        tanh = np.tanh(np.logaddexp(0, z))
        return np.asarray(tanh + z * (1 - tanh**2) / (1 + np.exp(-z)))

    formula = theory.Formula(_mish, slope)
    near, away = facts.fields(formula, ["xavier_uniform", "he_normal"], lambda key: None)
    assert not near.away
    assert away.away
    # At 0 mish has the slope 3/5, and he_normal has sigma_w^2 = 2.
    assert away.limit == pytest.approx(-math.log10(2 * 0.36) / 2)
    q = 2 * np.linspace(-np.pi, np.pi, 10) ** 2  # of the first layer: one input, variance 2
    for layer in range(2, 51):
        q = np.array([theory.next_q(formula, one, 2.0, 0.0) for one in q])
        if layer == 10:
            ten = q.mean()
    assert away.q_of_layers == pytest.approx((ten, q.mean()))
    said = text.notes(_card_with(near, away))
    assert text.field_values(away)[2] == "0.72*"
    assert text.field_values(near)[2] == "0.36"
    assert "more than 0.001 from -log10(chi) / 2" in said[0]
    assert len(said) == 2
    assert said[1].startswith("he_normal: chi alone would give 0.0713, at q* = 0, which this")
    assert "does not reach within 50 layers (q is 7.38 in layer 10, 5.09" in said[1]
    assert text.notes(_card_with(near)) == []


@pytest.mark.parametrize(
    ("numbers", "shown", "notes"),
    [
        ((math.inf, 1.0, 4e24, None, None), ("infinite", "1", "infinite", "-", "-"), []),
        ((2e9, 1.0, 3.0, None, None), ("2e9", "1", "3", "-", "-"), []),
        (
            (None, None, None, 0.1, 0.1),
            ("-", "-", "-", "0.1", "0.1"),
            ["No fixed point of q and c was found from he_normal, hence no chi; the prediction "],
        ),
    ],
    ids=["chi of what stands for infinity", "a large q* that was found", "no fixed point"],
)
def test_only_numbers_that_were_found_are_shown_as_such(
    numbers: tuple[float | None, ...], shown: tuple[str, ...], notes: list[str]
) -> None:
    """Dashes beside a prediction have their sentence, and no mark."""
    q, c, chi, predicted, measured_ = numbers
    field = facts.Field("he_normal", 2.0, 0.0, q, c, chi, predicted, measured_)
    assert text.field_values(field) == shown
    said = text.notes(_card_with(field))
    assert [note[: len(start)] for note, start in zip(said, notes, strict=True)] == notes


def test_settings_that_are_stated_in_words_are_those_that_run() -> None:
    """The words of a part follow its configuration, and say how to read a 0."""
    (part,) = (part for part in parts() if part.name == "stability")
    one = battery.Battery(ACTIVATIONS["relu"], Path("unused"), no_bar, threads=1)
    config = one._config(part, ["relu"], part.seeds[0])
    rates = config.learning_rates
    assert (len(rates), min(rates), max(rates)) == (9, 1e-4, 1)
    assert (tuple(config.skip), config.epochs) == ((False,), 120)
    said = battery._in_words(part)
    assert "nine learning rates from 1e-4 to 1, no skip connections, 120 epochs. 0: no" in said
    assert "a median may lie between two rates" in said


def test_a_limit_of_zero_is_written_as_such() -> None:
    """The tail of a sigmoid is about 0, not a number of 18 zeros."""
    assert "beyond, about 0 at -400 and 1 at 400" in _facts("sigmoid")["range"].evidence


def test_a_clear_difference_can_decide_at_the_seeds_of_every_part() -> None:
    """Where all of one lie below all of the others, the test's p is below a card's level."""
    listed = parts("he_uniform", [TARGETS["sine"]] * 8)
    rows = sum(len(part.measures) for part in listed) + 1
    for part in listed:
        mine, others = part.seeds
        alpha = measures.LEVEL / (8 * rows)
        values = {"mine": np.arange(mine) / 100, "relu": 1 + np.arange(others) / 100}
        assert measures.row("m", "low", values, "mine", alpha).count("wins") == 1


@contextmanager
def no_bar(title: str, steps: int) -> Iterator[Callable[[int], None]]:
    """Show nothing, but see that the steps add up."""
    done: list[int] = []
    yield done.append
    assert sum(done) in {0, steps}, title  # 0: reused


COST, STORED = battery.Config, battery.stored_folder()


def test_every_part_of_the_real_card_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each comparison there are values of each of the eight, by the protocol of today."""
    monkeypatch.setattr(battery, "Config", COST)  # `little` may be in force already
    for part in parts():
        stored = measured.load(part.name, STORED)
        one = battery.Battery(ACTIVATIONS["relu"], Path("unused"), no_bar, threads=1)
        config = one._config(part, ["relu"], part.seeds[0])
        assert battery._comparable(stored.settings) == battery._comparable(
            json.loads(json.dumps(config.protocol()))
        )
        for measure in part.measures:
            for key in ACTIVATIONS:
                assert len(stored.values(measure.of(key))) == part.seeds[1]


def small(part: Part) -> Part:
    """The same part in a second."""
    reduced: dict[str, dict[str, Any]] = {
        "gradient-flow": {"width": 4, "deep_points": 2, "deep_depth": 40},
        "stability": {"depths": (2,), "learning_rates": (1e-3, 1.0), "epochs": 6, "points": 12},
        "capacity": {"depths": (2,), "widths": (8,), "epochs": 6, "points": 12},
    }
    fewer = reduced[part.experiment]
    if part.experiment == "capacity":
        fewer["targets"] = ("sine", "step")
    measures = tuple(
        replace(m, metric={**m.metric, **({"depth": 2} if "depth" in m.metric else {})})
        for m in part.measures
        if m.metric.get("target", "sine") in {"sine", "step"}
    )[:2]
    return replace(part, settings={**part.settings, **fewer}, measures=measures, seeds=(2, 2))


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A battery of a second, and stored measurements of the eight by it."""
    folder = tmp_path_factory.mktemp("little")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(battery, "parts", lambda *given: [small(part) for part in parts(*given)])
        patch.setattr(battery, "critical_part", lambda key: small(critical_part(key)))
        patch.setattr(battery, "stored_folder", lambda: folder / "stored")
        patch.setattr(battery, "Config", lambda keys: COST(keys, rounds=3, epochs=1))
        battery.measure_eight(no_bar, "cpu", 1, folder / "eight")
        yield folder / "out"


def tried(key: str, out: Path, **options: object) -> battery.Battery:
    """A battery of one activation on one thread."""
    return battery.Battery(activations.get(key), out, no_bar, threads=1, **options)  # type: ignore[arg-type]


def _saved(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Draw the quick figure; of the other, whose many axes take seconds, leave an empty one."""
    if name == "function":
        figure.set_layout_engine("none")
        return saving.save(figure, folder, name)
    assert len(figure.axes) == 8
    paths = [folder / f"{name}.{suffix}" for suffix in saving.SUFFIXES]
    for path in paths:
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>')
    return paths


def test_the_same_function_ties_everywhere(
    tmp_path: Path,
    registered: Callable[[str], Activation],
    little: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file that returns torch.relu is ReLU: every estimate, every tie, and one page of it."""
    monkeypatch.setattr("actbench.study.card.page.save", _saved)
    file = tmp_path / "mine.py"
    file.write_text(_FILE, encoding="utf-8")
    key = registered(f"{file}:same").key
    one = tried(key, little)
    card, derivatives, flows = one.run()
    assert card.comparisons == 8 * (2 + 2 + 2 + 1)
    assert card.alpha == pytest.approx(0.01 / card.comparisons)
    for group in card.groups[:-1]:
        for row in group.rows:
            mine, relu = row.estimates[key], row.estimates["relu"]
            assert mine.median == pytest.approx(relu.median, rel=1e-4)
    assert card.against()["relu"]["wins"] == card.against()["relu"]["loses"] == []
    _check_pages(one.folder, card, derivatives, flows)
    # Again: nothing but the cost is measured anew, and nothing else differs.
    again = tried(key, little).run()[0]
    assert again.groups[:-1] == card.groups[:-1]
    # An edited file lies in another folder, and what was there stays.
    file.write_text(_FILE.replace("torch.relu(x)", "torch.tanh(x)"), encoding="utf-8")
    registered(key)
    assert tried(key, little).folder != one.folder


def _check_pages(
    folder: Path, card: Card, derivatives: xr.Dataset, flows: dict[str, xr.Dataset]
) -> None:
    written = write(folder, card, derivatives, flows)
    assert [path.name for path in written[:2]] == ["card.html", "card.json"]
    page = written[0].read_text(encoding="utf-8")
    assert "<h1>same</h1>" in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http-equiv", "")
    data = json.loads(written[1].read_text(encoding="utf-8"))
    assert data["wins"] + data["ties"] + data["loses"] == card.comparisons
    assert data["critical"]["sigma_w2"] == pytest.approx(2)
    console = Console(width=100, record=True, file=open_null())
    for part in text.show(card, 100):
        console.print(part)
    shown = console.export_text()
    assert "finite differences" in shown
    assert 'mean_field(2,0)"' in shown
    said = " ".join(shown.split())
    assert text.summary(card) in said
    for sentence in (text.SIGN, text.PLACES):
        assert sentence in said
        assert sentence in " ".join(page.split())
    for where in (said, page):
        assert "each network's drift without its sign" in where.replace("&#39;", "'")
    lines = [line.strip() for line in shown.splitlines()]
    for title in ("Stability:", "Capacity:", "Cost of"):
        (at,) = (n for n, line in enumerate(lines) if line.startswith(title))
        assert lines[at - 1] == ""


def open_null() -> io.StringIO:
    """A terminal that nobody sees."""
    return io.StringIO()


def test_other_targets_and_initializers_train_the_eight_by_the_same_protocol(
    little: Path,
) -> None:
    """With --initializer nothing stored is comparable: all nine are trained, alike."""
    card = tried("relu", little, initializer="he_normal").run()[0]
    stability = card.groups[1]
    assert {e.count for e in stability.rows[0].estimates.values()} == {2}
    assert (little / "eight-capacity.nc").exists() is False
    assert len(list(little.glob("eight-capacity-*.nc"))) == 1
    assert "he_normal" in [field.initializer for field in card.fields]
