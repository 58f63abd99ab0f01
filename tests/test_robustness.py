"""The robustness map says what its grid measured, and what is stored can be measured again."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import claim_factory
import numpy as np
import pytest
from calls import printed
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from actbench.claims import Claim, Verdict, published
from actbench.claims.verdicts import Judgment
from actbench.store.errors import ActbenchError
from actbench.study.robustness import maps
from actbench.study.robustness.figure import claim_map, draw_all, escape_epochs
from actbench.study.robustness.maps import Cell, Grid, Robustness, Setting, metric_key
from actbench.study.robustness.sentences import remarks, sentence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

STUDY = published()
METRIC: dict[str, str | int | float] = {"name": "final_mse", "activation": "relu"}
GRID = Grid(
    initializers=("torch_default", "he_normal", "normal(0.03)", "normal(0.05)", "normal(0.1)"),
    learning_rates=(1e-4, 1e-3, 1e-2),
    weight_decays=(1e-4, 1e-3),
    epochs=(250, 1000),
    depths=(9, 11),
    seeds=3,
)
TINY = Grid(
    stated=Setting(epochs=2),
    initializers=("torch_default", "normal(0.05)"),
    learning_rates=(1e-3,),
    weight_decays=(1e-4,),
    epochs=(3,),
    depths=(),
    seeds=2,
    escape_initializers=("torch_default",),
    escape_seeds=3,
)


def claim(expected: Verdict = Verdict.REPRODUCED, **changes: Any) -> Claim:
    """A claim that a value is below 1, and in its direction below 10."""
    one, ten = ({"kind": "below", "value": value, "reason": "a test"} for value in (1, 10))
    parts = {"id": "relu-is-small", "metric": METRIC, "direction": ten, "expected": expected}
    return claim_factory.claim(one, **{**parts, **changes})


def synthetic(
    value: Callable[[Setting], list[float]], escapes: list[float] | None = None
) -> Robustness:
    """A map of ``GRID`` whose values a function of the setting gives."""
    key = metric_key(METRIC)
    return Robustness(
        schema_version=maps.SCHEMA_VERSION,
        command="a test",
        grid=GRID,
        environment={},
        cells=[Cell(setting=s, values={key: value(s)}) for s in GRID.settings],
        escape_epochs={"torch_default": escapes or [100, math.inf, 300, 200]},
    )


def failing_where(condition: Callable[[Setting], bool]) -> Robustness:
    """A map in which every seed is inside but where the condition is true."""
    return synthetic(lambda s: [5.0] * 3 if condition(s) else [0.5] * 3)


def drawn(figure: Figure) -> Figure:
    """Draw a figure in few pixels, which is where unsuitable numbers make trouble."""
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def test_grid_enumerates_what_it_says() -> None:
    """Fifty combinations and ten single variations, each setting once."""
    grid = Grid()
    settings = grid.settings
    assert len(settings) == len(set(settings)) == 10 * 5 + 3 + 3 + 4
    assert Setting() in settings
    assert Setting(initializer="normal(0.15)", learning_rate=1e-2) in settings
    assert Setting(epochs=2000) in settings
    assert Setting(weight_decay=1e-3) in settings
    for setting in grid.variations:
        changed = set(setting.model_dump().items()) - set(grid.stated.model_dump().items())
        assert len(changed) == 1


def test_map_covers_the_stated_claims() -> None:
    """Every claim of the stated protocol is mapped, and none of another."""
    mapped = maps.mapped_claims(STUDY)
    assert len(mapped) >= 20
    assert {c.protocol for c in mapped} == {"stated"}
    assert "sigmoid-fails-completely" in {c.id for c in mapped}


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (lambda s: False, "holds in all 21 settings"),
        (lambda s: True, "fails in all 21 settings"),
        (
            lambda s: s.initializer in {"normal(0.03)", "normal(0.05)"},
            "holds in 15 of 21 settings; fails for normal(<= 0.05)",
        ),
        (
            lambda s: s.learning_rate <= 1e-3 and s.weight_decay == 0 and s.epochs == 500,
            "holds in 9 of 21 settings; fails for depth any, learning rate <= 0.001",
        ),
        (
            lambda s: s.learning_rate == 1e-2 or s.initializer == "normal(0.1)",
            "holds in 14 of 21 settings; fails for learning rate 0.01, normal(0.1)",
        ),
        (
            lambda s: s.initializer == "he_normal" and s.learning_rate >= 1e-3,
            "holds in 19 of 21 settings; fails for he_normal at learning rate >= 0.001",
        ),
        (
            lambda s: s.initializer.startswith("normal") and s.learning_rate == 1e-4,
            "holds in 18 of 21 settings; fails for normal(any) at learning rate 0.0001",
        ),
        (
            lambda s: s.weight_decay >= 1e-4 or s.epochs == 250,
            "holds in 18 of 21 settings; fails for weight decay >= 0.0001, 250 epochs",
        ),
        (lambda s: s.depth >= 11, "holds in 20 of 21 settings; fails for depth 11"),
    ],
)
def test_sentence_names_exactly_the_exceptions(
    fails: Callable[[Setting], bool], expected: str
) -> None:
    """Rows, columns, rectangles and single variations are each called by their bounds."""
    assert sentence(failing_where(fails), claim()) == expected


def test_sentence_begins_with_what_is_expected() -> None:
    """Exceptions are where an unexpected claim holds; a direction is told of the weaker one."""
    stored = failing_where(lambda s: s.learning_rate > 1e-4)
    found = sentence(stored, claim(Verdict.NOT_REPRODUCED))
    assert found == "fails in 16 of 21 settings; holds for learning rate 0.0001"
    stored = synthetic(lambda s: [50.0] * 3 if s.epochs == 250 else [5.0] * 3)
    found = sentence(stored, claim(Verdict.DIRECTION_ONLY))
    assert found == (
        "fails in all 21 settings; its direction holds in 20 of 21 settings; fails for 250 epochs"
    )


def test_sentence_counts_what_it_does_not_name() -> None:
    """Scattered exceptions end in a count, so that named and counted are all of them."""
    scattered = {
        ("torch_default", 1e-4),
        ("he_normal", 1e-3),
        ("normal(0.03)", 1e-2),
        ("normal(0.05)", 1e-4),
        ("normal(0.05)", 1e-3),
        ("normal(0.1)", 1e-4),
        ("normal(0.1)", 1e-2),
    }
    stored = failing_where(
        lambda s: (s.initializer, s.learning_rate) in scattered or s.epochs == 250
    )
    found = sentence(stored, claim())
    assert found.startswith("holds in 13 of 21 settings; fails for 250 epochs, normal(0.05) at")
    assert found.endswith(", he_normal at learning rate 0.001 and 1 more")


def test_typical_seed_decides_and_every_needs_all() -> None:
    """Two of three seeds carry a median but not a claim about every seed."""
    stored = synthetic(lambda s: [0.5, 5.0, 0.5])
    stated = stored.outcomes(claim())[Setting()]
    assert (stated.holds, stated.median) == (True, 0.5)
    assert stated.share == pytest.approx(2 / 3)
    assert sentence(stored, claim()) == "holds in all 21 settings; seeds disagree in 21"
    assert not stored.outcomes(claim(quantifier="every"))[Setting()].holds
    # A run that is not finite counts as infinitely large, as the judge counts it.
    infinite = synthetic(lambda s: [math.inf, math.nan, 0.5]).outcomes(claim())[Setting()]
    assert (infinite.holds, infinite.median) == (False, np.inf)


def test_a_metric_that_is_not_stored_is_named() -> None:
    """The error says which metric is missing, for which claim, and what to run."""
    stored = failing_where(lambda s: False)
    other = claim(metric={"name": "final_mse", "activation": "gelu"})
    with pytest.raises(ActbenchError, match=r"lacks final_mse\(activation=gelu\) of claim 'relu-"):
        sentence(stored, other)


def test_a_claim_that_the_map_lacks_is_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is new does not keep the ledger from saying what it knows of the others."""
    monkeypatch.setattr(maps, "load", lambda: failing_where(lambda s: False))
    known, new = claim(), claim(id="new", metric={"name": "final_mse", "activation": "gelu"})
    monkeypatch.setattr(maps, "mapped_claims", lambda file: [known, new])
    judged = [Judgment(each, Verdict.REPRODUCED) for each in (known, new)]
    assert remarks(STUDY, judged) == {
        known.id: "holds in all 21 settings",
        "new": "not measured yet: actbench robustness --measure",
    }


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content.pop("grid"), "field 'grid': Field required"),
        (lambda content: content.update(surprise=1), "field 'surprise': Extra inputs"),
        (lambda content: content.update(cells=[{"setting": {}}]), r"'cells.0.values': Field"),
        (lambda content: content["grid"].update(seeds=0), r"'grid.seeds': Input should be"),
        (lambda content: content.update(schema_version=99), "schema version 99, .*Update actbench"),
    ],
)
def test_load_names_what_is_wrong(
    damage: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    """A damaged file is refused with the field that is wrong; a missing one, with what makes it."""
    path = maps.path_of(tmp_path)
    with pytest.raises(ActbenchError, match="Run: actbench robustness"):
        maps.load(path)
    content = failing_where(lambda s: False).model_dump(mode="json")
    path.write_text(json.dumps(content), encoding="utf-8")
    assert len(maps.load(path).cells) == 21
    damage(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ActbenchError, match=message):
        maps.load(path)


def test_run_stores_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run goes on where it was, without computing anything twice."""
    path = tmp_path / "deeper" / "robustness.json"
    measure, measured = maps.measure, list[Setting]()

    def interrupted(setting: Setting, *arguments: Any) -> Cell:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(setting)
        return measure(setting, *arguments)

    monkeypatch.setattr("actbench.study.robustness.maps.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        maps.run(TINY, STUDY, path)
    assert [cell.setting for cell in maps.load(path).cells] == list(TINY.settings[:2])
    measured[:] = [Setting()]  # room for one more, then another interruption
    with pytest.raises(KeyboardInterrupt):
        maps.run(TINY, STUDY, path)
    assert measured[1:] == list(TINY.settings[2:3])

    monkeypatch.setattr("actbench.study.robustness.maps.measure", measure)
    done: list[int] = []
    whole = maps.run(TINY, STUDY, path, done.append)
    assert sum(done) == TINY.settings[3].epochs * 2 * 5 + 2 * 3
    assert [cell.setting for cell in whole.cells] == list(TINY.settings)
    assert whole.escape_epochs == {"torch_default": [math.inf] * 3}
    assert maps.load(path) == whole
    maps.run(TINY, STUDY, path, done.append)
    assert sum(done) == 3 * 2 * 5 + 2 * 3


def test_run_refuses_the_map_of_another_grid(tmp_path: Path) -> None:
    """What other settings or another machine left is never mixed in, and never lost unasked."""
    path = tmp_path / "robustness.json"
    content = failing_where(lambda s: False).model_dump_json()
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"another grid or environment.*--overwrite"):
        maps.run(TINY, STUDY, path)
    assert path.read_text(encoding="utf-8") == content


def test_claim_map_draws_every_setting_and_marks_the_stated_one() -> None:
    """Shares and medians stand in their cells; one frame; a cell that is missing is gray."""
    stored = synthetic(lambda s: [math.inf] * 3 if s.epochs == 1000 else [0.25, 0.5, 5.0])
    figure = drawn(claim_map(stored, claim()))
    product, strip = figure.axes[:2]
    assert [text.get_text() for text in product.texts] == ["67%\n0.5"] * 15
    long = [s.epochs for s in GRID.variations].index(1000)
    assert strip.texts[long].get_text() == "0%\n\u221e"
    shades = [tuple(patch.get_facecolor()) for patch in strip.patches]
    assert shades[long] == colormaps["cividis"](0.0)
    assert shades[0] == colormaps["cividis"](2 / 3)
    frames = [p for p in product.patches if p.get_gid() == "stated"]
    assert len(frames) == 1
    assert isinstance(frames[0], Rectangle)
    center = np.add(frames[0].get_xy(), (frames[0].get_width() / 2, frames[0].get_height() / 2))
    assert tuple(np.round(center, 6)) == (1, 0)  # 0.001 of torch_default
    assert figure.get_suptitle() == claim().id
    assert f"{claim().id} holds in 20 of 21 settings" in figure.get_supxlabel()
    part = stored.model_copy(update={"cells": stored.cells[:4]})
    assert len(drawn(claim_map(part, claim())).axes[0].texts) == 4


def test_escape_figure_shows_the_share_that_left() -> None:
    """The line rises by one seed per escape and ends below 1 where a seed never left."""
    figure = drawn(escape_epochs(failing_where(lambda s: False)))
    line = next(n for n in figure.axes[0].lines if n.get_gid() == "escape-torch_default")
    assert list(np.asarray(line.get_xdata())) == [0, 100, 200, 300, 500]
    assert list(np.asarray(line.get_ydata())) == [0, 0.25, 0.5, 0.75, 0.75]


def test_pictures_are_small_and_named_after_their_claims(tmp_path: Path) -> None:
    """Every claim of the map has a PNG, and so has the escape from the plateau."""
    about = STUDY.model_copy(update={"claim": (claim(), claim(protocol="gradients", id="other"))})
    paths = draw_all(failing_where(lambda s: s.epochs == 250), about, tmp_path / "deeper")
    assert [path.name for path in paths] == ["relu-is-small.png", "sigmoid-escape-epochs.png"]
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 60_000


def test_reading_loads_no_torch() -> None:
    """A ledger with its sentences needs no torch."""
    code = (
        "import sys; from actbench import claims; from actbench.study.robustness import maps as r; "
        "from actbench.study.robustness.sentences import sentence; m = r.load(); "
        "print(*(sentence(m, c) for c in r.mapped_claims(claims.published())), sep='\\n'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert printed("-c", code)


def test_stored_map_is_whole() -> None:
    """The shipped map has all settings of the default grid and 200 seeds of sigmoid's escape."""
    stored = maps.load()
    assert stored.grid == Grid()
    assert [cell.setting for cell in stored.cells] == list(Grid().settings)
    assert set(stored.escape_epochs) == set(Grid().escape_initializers)
    assert {len(epochs) for epochs in stored.escape_epochs.values()} == {200}
    for about in maps.mapped_claims(STUDY):
        assert len(stored.outcomes(about)) == len(Grid().settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claim_id", "setting"),
    [
        ("linear-final-mse", Setting()),
        ("sigmoid-early-layers-do-not-learn", Setting(initializer="normal(0.05)", epochs=500)),
    ],
)
def test_sample_of_the_stored_map_is_measured_again(claim_id: str, setting: Setting) -> None:
    """Where rounding hardly matters, training again gives the stored median."""
    about, stored = STUDY.get(claim_id), maps.load()
    fresh = maps.measure(setting, stored.grid.seeds, {metric_key(about.metric): about.metric})
    again = stored.model_copy(update={"cells": [fresh]}).outcomes(about)[setting]
    before = stored.outcomes(about)[setting]
    assert again.median == pytest.approx(before.median, rel=1e-3)
    assert (again.holds, again.share) == (before.holds, before.share)


@pytest.mark.parametrize("about", maps.mapped_claims(STUDY), ids=lambda about: about.id)
def test_map_agrees_with_the_pinned_verdict_at_the_stated_setting(about: Claim) -> None:
    """The typical seed of the map is on the side of the bound that the verdict is on."""
    stored = maps.load()
    holds = stored.outcomes(about)[stored.grid.stated].holds
    assert holds is (about.expected is Verdict.REPRODUCED)
