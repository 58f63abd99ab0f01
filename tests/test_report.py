"""The report holds all there is, stands alone, escapes what it is told, says what is missing."""

from __future__ import annotations

import dataclasses
import functools
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import browser
import claim_factory
import numpy as np
import pytest
import xarray as xr
from calls import Command, Ended
from claim_factory import NOT_TESTABLE, entry
from dataset_factory import flow, targets, trained
from drawings import draw_instead
from matplotlib.figure import Figure

from actbench import claims, ledger
from actbench.claims import ClaimsFile, Verdict
from actbench.claims.verdicts import Judgment
from actbench.ledger.wording import MEANING
from actbench.pages import rendering
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study import figures, report
from actbench.study.experiments import EXPERIMENTS
from actbench.study.findings import caption

NASTY = "<script>alert(1)</script> & \"quoted\" 'so' | cut *bold* `code` [a](http://b) onload=x"
VOID = {"meta", "link", "br", "img", "input"}
SVG = "{http://www.w3.org/2000/svg}"


FILE = ClaimsFile.model_validate(
    {
        "study": f"A study {NASTY}",
        "protocol": {
            "trained": {"experiment": "sine-regression"},
            "gradients": {"experiment": "gradient-flow"},
            "deep-plain": {
                "experiment": "sine-regression",
                "settings": {"depth": 50},
                "slow": True,
            },
        },
        "claim": [
            entry("holds", published=0.25),
            entry("holds-too", source="a table, holds", because="So it is with holds."),
            entry(
                "nasty",
                source=NASTY,
                statement=NASTY,
                because=NASTY,
                expected="not_reproduced",
                quantifier="every",
            ),
            entry("sign", expected="direction_only", protocol="gradients"),
            entry("deep", protocol="deep-plain"),
            entry("flips"),
            entry("lacks-seeds"),
            NOT_TESTABLE,
        ],
    }
)


def judgment(name: str, verdict: str, **more: Any) -> Judgment:
    """A judgment of a claim of the file, with evidence."""
    return claim_factory.judgment(FILE.get(name), verdict, **more)


JUDGMENTS = [
    judgment("holds", "reproduced"),
    judgment("holds-too", "reproduced"),
    judgment("nasty", "not_reproduced", measured=0.05, interval=(0.0, 0.4), sentence=NASTY),
    judgment("sign", "direction_only"),
    judgment("deep", "reproduced"),
    judgment("flips", "not_reproduced"),
    judgment("lacks-seeds", "inconclusive", seeds=3, interval=None, to_flip="14 seeds, not 3"),
    Judgment(FILE.get("beauty"), Verdict.NOT_TESTABLE, sentence="Beauty is not measured."),
]


@functools.cache
def plot() -> bytes:
    """A figure with clip paths, markers and text, as matplotlib writes it."""
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1.23456789, 2], [1, 3.14159265, 2], marker="o", label="a < b")
    axes.fill_between([0, 1, 2], [0, 1, 1], [2, 3, 3], alpha=0.3)
    axes.imshow(np.eye(3), aspect="auto")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def results() -> dict[str, xr.Dataset]:
    """Datasets of three experiments, small and made up, by file."""
    losses = {"relu": [0.001, 0.002], "tanh": [0.3, 0.4]}
    seeded = {"seeds": [42, 43], "threads": 1, "learning_rate": 1e-3}
    here = {"numpy": "2.0", "threads": 1, "torch": "2.6"}
    return {
        "sine_regression.nc": datasets.finish(trained(losses), "sine-regression", seeded, here),
        "gradient_flow.nc": datasets.finish(flow(), "gradient-flow", seeded, here),
        "closed_forms.nc": datasets.finish(targets(), "closed-forms", {"points": 200}, here),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three experiments, all their figures, one of nobody's, and the report."""
    folder = tmp_path_factory.mktemp("results")
    for name, dataset in results().items():
        datasets.save(dataset, folder / name)
    for name in [*figures.FIGURES["sine-regression"], "exp1_gradient_flow", "one of mine (2)"]:
        (folder / f"{name}.svg").write_bytes(plot())
    (folder / "loss_curves.png").write_bytes(b"not looked at")
    report.write(folder, FILE, JUDGMENTS)
    return folder


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    """The report on the whole folder, as a page."""
    return Page((whole / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def markdown(whole: Path) -> str:
    """The same as Markdown."""
    return (whole / "report.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole folder, to change."""
    return Path(shutil.copytree(whole, tmp_path / "results"))


class Page(HTMLParser):
    """What an HTML page consists of; complains of tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._text: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag, which stays open unless it can't have content."""
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag that is closed at once."""
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text with where it stands."""
        self._text.append((tuple(self._open), data))

    @property
    def text(self) -> str:
        """What can be read, with single spaces."""
        hidden = {"style", "script"}
        words = [data for place, data in self._text if not hidden & set(place)]
        return " ".join(" ".join(words).split())

    @property
    def style(self) -> str:
        """The style sheet."""
        return "".join(data for place, data in self._text if "style" in place)

    def attributes(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def page_of(folder: Path, judgments: Sequence[Judgment] = JUDGMENTS) -> Page:
    """Write a report and read its page."""
    html, _ = report.write(folder, FILE, judgments)
    return Page(html.read_text(encoding="utf-8"))


def loads(page: Page) -> list[str]:
    """Everything in a page that a browser would load from elsewhere, or run."""
    found = []
    for tag, attributes in page.tags:
        if tag in {"script", "iframe", "object", "embed", "base", "foreignobject"}:
            found.append(tag)
        for key, value in attributes.items():
            target = value.strip().lower()
            if key.startswith("on") or target.startswith("javascript:"):
                found.append(f"{tag} {key}")
            elif key in {"src", "srcset", "href", "xlink:href", "data", "action", "poster"}:
                if tag != "a" and not target.startswith(("#", "data:")):
                    found.append(f"{tag} {key}={value}")
            elif re.search(r"url\(\s*['\"]?(?!#)", value):
                found.append(f"{tag} {key}={value}")
    return found + re.findall(r"@import|url\((?!#)[^)]*\)", page.style)


def test_every_claim_has_its_place_and_every_link_leads_somewhere(page: Page) -> None:
    """No id stands twice; each claim, figure and experiment has one; no link within is dead."""
    ids = page.attributes("id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    assert {f"claim-{j.claim.id}" for j in JUDGMENTS} <= set(ids)
    assert {f"experiment-{key}" for key in EXPERIMENTS} <= set(ids)
    targets = [href[1:] for href in page.attributes("href") if href.startswith("#")]
    for _, attributes in page.tags:
        for value in attributes.values():
            targets += re.findall(r"url\(#([^)]+)\)", value)
    assert len(targets) > 50
    assert set(targets) <= set(ids)
    for key in ("aria-labelledby", "for"):
        assert set(page.attributes(key)) <= set(ids)


def test_every_figure_of_the_folder_is_inside(page: Page, whole: Path) -> None:
    """As many pictures as files, each with a text for those who can't see it."""
    names = {path.stem for path in whole.glob("*.svg")}
    assert len(names) == 7
    (odd,) = [a for a in page.attributes("id") if a.startswith("figure-one")]
    assert {f"figure-{name}" for name in names - {"one of mine (2)"}} | {odd} == {
        value for value in page.attributes("id") if re.fullmatch(r"figure-(?!.*--).*", value)
    }
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == len(names)
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert attributes["aria-label"]
    assert "One of mine (2)." in page.text


def test_the_page_loads_and_runs_nothing(page: Page, whole: Path) -> None:
    """Neither files nor addresses are asked for, and a policy in the page forbids it besides."""
    assert loads(page) == []
    policy = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    text = (whole / "report.html").read_text(encoding="utf-8")
    assert "<!DOCTYPE" not in text.split("<html", 1)[1]
    assert "<?xml" not in text
    assert "metadata" not in text


@pytest.mark.parametrize(
    "planted",
    [
        "<img src='http://a/b.png'>",
        "<link rel='stylesheet' href='style.css'>",
        "<script>1</script>",
        "<p onclick='x()'></p>",
        "<a href='javascript:x()'></a>",
        "<svg><use href='other.svg#a'/></svg>",
        "<p style='background: url(//a/b)'></p>",
        "<style>@import 'a.css';</style>",
        "<style>p { background: url('http://a/b') }</style>",
    ],
)
def test_a_page_that_loads_something_would_be_seen(planted: str) -> None:
    """The check can fail: each way of loading or running something is one complaint."""
    assert len(loads(Page(planted))) == 1


def test_the_same_results_give_the_same_bytes(whole: Path, folder: Path) -> None:
    """Neither time nor place enters, and the report does not feed on itself."""
    first = [(whole / name).read_bytes() for name in report.FILES]
    assert [path.read_bytes() for path in report.write(folder, FILE, JUDGMENTS)] == first
    assert [path.read_bytes() for path in report.write(folder, FILE, JUDGMENTS)] == first


def test_what_a_claim_says_is_text(page: Page, markdown: str) -> None:
    """Markup in a claim is shown, not obeyed: on the page as in Markdown."""
    assert "script" not in dict(page.tags)
    assert page.text.count(NASTY) >= 4
    assert all(tag != "a" or a["href"].startswith("#") for tag, a in page.tags)
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\[a\]\(http", markdown)
    assert r"""&lt;script&gt;alert(1)&lt;/script&gt; &amp; "quoted" 'so' \| cut \*b""" in markdown
    assert "[sine-regression](#experiment-sine-regression), [gradient-flow](#" in markdown


def test_tables_of_markdown_keep_their_columns(markdown: str) -> None:
    """Whatever is in a cell, each row has as many cells as its table's head."""
    width = None
    rows = 0
    for line in markdown.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line
        rows += 1
    assert rows > 2 + len(JUDGMENTS)


def test_markdown_has_the_same_parts(page: Page, markdown: str, whole: Path) -> None:
    """Anchors for all claims, no dead link within, and pictures that are there."""
    anchors = re.findall(r'<a id="([^"]+)">', markdown)
    assert len(set(anchors)) == len(anchors)
    headings = [
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in markdown.splitlines()
        if line.startswith("#")
    ]
    linked = set(re.findall(r"\]\(#([^)]+)\)", markdown))
    assert linked <= {*anchors, *headings}
    assert {f"claim-{j.claim.id}" for j in JUDGMENTS} <= set(anchors)
    pictures = set(re.findall(r"\]\((?!#)([^)]+\.(?:svg|png))\)", markdown))
    assert {name.replace("%20", " ").replace("%28", "(").replace("%29", ")") for name in pictures}
    assert {p for p in pictures if "%" not in p} <= {path.name for path in whole.iterdir()}
    assert "one%20of%20mine%20%282%29.svg" in pictures
    assert "loss_curves.png" in pictures
    for heading in ("Summary", "Environment", "Ledger of claims", "Experiments", "How to rerun"):
        assert f"## {heading}" in markdown
        assert heading in page.text


def test_the_ledger_shows_the_evidence(page: Page) -> None:
    """Published and measured value, interval, margin, and in the details all the rest."""
    text = page.text
    row = text[text.index("Every claim with its verdict") :]
    assert "Of holds something holds. Evidence for holds Why So it is with holds." in row
    assert "0.25 0.5 0.25 to 0.75 factor 2" in row
    assert "5 % of 100 seeds agree 0 % to 40 %" in row
    for part in (
        "Stated in a table, holds",
        "Protocol trained: sine-regression, at its defaults",
        "Metric final_mse (activation relu): Mean squared error on the noisy targets after the",
        "Holds if The median over seeds is at most 1. It is low.",
        "Holds if In at least 95 % of all seeds the metric is at most 1. It is low.",
        "Found Found for holds.",
        "Measured in These results.",
        "Seeds 100; the claim's wording needs 9.",
        "Rerun pytest 'tests/test_claims.py::test_claim[holds]'",
        "Rerun pytest 'tests/test_claims.py::test_claim[deep]' --actbench-slow",
        "Measured in Stored measurements, as the folder has no results of this protocol",
    ):
        assert part in row
    for unknown in ("With its table", "A redraw"):
        assert unknown not in row


def test_the_ledger_says_what_each_verdict_means(page: Page, markdown: str) -> None:
    """Of those that occur, on both pages."""
    for verdict, meaning in MEANING.items():
        if any(judgment.verdict is verdict for judgment in JUDGMENTS):
            assert meaning in page.text
            assert meaning in " ".join(markdown.split())


def test_the_first_figure_stands_in_the_summary(folder: Path) -> None:
    """The loss curves come before the lists, once; the ledger after the experiments."""
    html = (folder / "report.html").read_text(encoding="utf-8")
    places = [html.index(f'id="{name}"') for name in ("summary", "figure-loss_curves")]
    places += [html.index(f'id="{name}"') for name in ("ratio", "experiments", "ledger", "rerun")]
    assert places == sorted(places)
    assert html.count('id="figure-loss_curves"') == 1


def test_the_summary_counts_and_groups(page: Page) -> None:
    """Claims of one kind stand under their verdict, those alike in one line."""
    text = page.text
    summary = text[text.index("Summary 3") :].partition("What to trust instead")[0]
    assert "hold as documented 1 in direction only 2 nowhere 1 undecided" in summary
    trust, rest = summary.split("What holds in direction only")
    assert "Of holds something holds. So it is with holds. Likewise holds-too ." in trust
    assert "Of holds-too something" not in trust
    direction, rest = rest.split("What does not hold")
    assert "Of sign something holds." in direction
    wrong, rest = rest.split("What these results leave undecided")
    assert "Of flips something holds. This is not the expected verdict, reproduced" in wrong
    undecided, untestable = rest.split("What nothing here can decide")
    assert "Of lacks-seeds something holds. Undecided: it takes 14 seeds, not 3." in undecided
    assert "It is beautiful. Beauty is not measured." in untestable


def test_what_the_study_does_not_say_stands_apart(folder: Path) -> None:
    """Our own claims are counted apart, and in neither list of what to trust in the study."""
    mine = [
        dataclasses.replace(j, claim=j.claim.model_copy(update={"ours": True}))
        for j in JUDGMENTS
        if j.claim.id in {"deep", "flips"}
    ]
    others = [j for j in JUDGMENTS if j.claim.id not in {"deep", "flips"}]
    text = page_of(folder, [*others, *mine]).text
    assert "sets 6 of its statements, and 2 claims of ours that explain them or" in text
    _, beyond = text.split("Beyond the study: what holds")
    holds, fails = beyond.split("Beyond the study: what does not hold")
    assert holds.count("Of deep something holds.") == 1
    assert "Of flips something holds." in fails.split("What these results leave undecided")[0]


def test_the_summary_draws_the_verdicts_to_scale(page: Page) -> None:
    """Each verdict is a part of the strip, as wide as its share, that leads to its claims."""
    parts = [a["href"] for tag, a in page.tags if tag == "a" and a.get("title")]
    assert parts[0] == "#show-reproduced"
    shares = [float(style[9:-1]) for style in page.attributes("style") if "--share" in style]
    counts = Counter(judgment.verdict for judgment in JUDGMENTS)
    assert dict(zip(parts, shares, strict=True)) == {
        f"#show-{verdict}": 100 * count / len(JUDGMENTS) for verdict, count in counts.items()
    }


def test_a_changed_verdict_is_announced(page: Page, folder: Path) -> None:
    """What is not as expected stands at the top; where all is, the page says so."""
    text = page.text
    assert "1 of these verdicts is not the expected one. Something differs" in text
    assert "flips : not reproduced , expected reproduced" in text
    assert "1 of the undecided claims could not be decided with the seeds" in text
    calm = page_of(
        folder, [j for j in JUDGMENTS if j.claim.id not in {"flips", "lacks-seeds"}]
    ).text
    assert "All verdicts are the ones that the claims file expects." in calm
    assert "undecided" not in calm


def test_each_experiment_has_its_parts(page: Page) -> None:
    """Findings, protocol, what does not hold, and the command that gives the same numbers."""
    text = page.text
    part = text[text.index(EXPERIMENTS["sine-regression"].summary) :]
    part = part[: part.index(EXPERIMENTS["gradient-flow"].summary)]
    assert "over 2 seeds" in part
    assert "do not hold as stated: nasty (not reproduced), flips (not reproduced)." in part
    assert NASTY not in part
    assert "seeds 42, 43" in part
    assert "learning rate 0.001" in part
    assert "Rerun: actbench run sine-regression --seeds 2 --threads 1 --out again" in part
    assert "Rerun: actbench run closed-forms --out again" in text


def test_the_environment_tells_where_experiments_differ(folder: Path) -> None:
    """What all share is said once; what differs is said with the file it belongs to."""
    changed = results()["closed_forms.nc"]
    other = {**datasets.environment_of(changed), "torch": "9.9"}
    datasets.finish(changed, "closed-forms", {"points": 200}, other)
    datasets.save(changed, folder / "closed_forms.nc")
    text = page_of(folder).text
    assert "torch 2.6 (sine_regression.nc, gradient_flow.nc); 9.9 (closed_forms.nc)" in text
    assert "threads 1 " in text


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    """Nothing to report, there or not there, is one sentence that says what to do."""
    for folder in (tmp_path, tmp_path / "none"):
        expected = (
            f"'{folder}' holds no results to report. Write some with: actbench reproduce --out "
            f"{folder}"
        )
        with pytest.raises(ActbenchError, match=f"^{re.escape(expected)}$"):
            report.write(folder, FILE, JUDGMENTS)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_claims_file_leads_to_its_page(tmp_path: Path) -> None:
    """The ledger of ``actbench verify`` is not overwritten by advice to reproduce the study."""
    (tmp_path / "ledger.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"another claims file.* verify FILE .*--report page"):
        report.write(tmp_path, FILE, JUDGMENTS)


def test_a_folder_with_one_experiment_says_what_it_lacks(folder: Path) -> None:
    """Each missing experiment and figure is one clear line, and the rest is there."""
    for path in folder.iterdir():
        if not path.name.startswith(("sine_regression", "loss_curves")):
            path.unlink()
    text = page_of(folder).text
    assert text.count("There are no results of this experiment in the folder.") == (
        len(EXPERIMENTS) - 1
    )
    lacking = "gradient_flow.svg, hidden_activations.svg, summary_figure.svg"
    assert f"The folder lacks learned_functions.svg, {lacking}." in text
    assert "The folder has no results of gradient-flow to show it with." in text
    assert "over 2 seeds" in text
    assert "Further figures" not in text
    assert "Both kinds of curves" not in text


def test_a_damaged_figure_is_named(folder: Path) -> None:
    """What is not SVG stops the report, with the file's name; the old report stays."""
    before = (folder / "report.html").read_bytes()
    (folder / "loss_curves.svg").write_text("<svg", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"^loss_curves\.svg is not a readable SVG file"):
        page_of(folder)
    assert (folder / "report.html").read_bytes() == before


def test_the_contrast_shows_the_figure_of_theory_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it, the section has the figure; without, it leads to the experiment's own."""
    draw_instead(monkeypatch, "closed-forms", {"theory_error_signals": Figure})
    assert "Both kinds of curves stand in the figure exp1_gradient_flow :" in page_of(folder).text
    shutil.copy(folder / "loss_curves.svg", folder / "theory_error_signals.svg")
    page = page_of(folder)
    assert page.attributes("id").count("figure-theory_error_signals") == 1
    place = page.text.index(caption("theory_error_signals"))
    assert page.text.index("What to trust instead", 500) < place
    assert place < page.text.index(EXPERIMENTS["sine-regression"].summary)
    assert "The figure theory_error_signals belongs here too." in page.text


def test_an_animation_is_carried_along(folder: Path) -> None:
    """It is part of the page, behind a click; Markdown shows the file."""
    assert page_of(folder).attributes("src") == []
    (folder / "learned_functions.gif").write_bytes(b"GIF89a...")
    page = page_of(folder)
    assert page.attributes("src") == ["data:image/gif;base64,R0lGODlhLi4u"]
    assert "](learned_functions.gif)" in (folder / "report.md").read_text(encoding="utf-8")


def test_two_figures_can_share_a_page() -> None:
    """All that refers to an id follows it, and the same file twice shares none."""
    pages = [Page(rendering.embed(plot(), name, "label")) for name in ("one", "two")]
    ids = [set(page.attributes("id")) for page in pages]
    assert len(ids[0]) > 5
    assert not ids[0] & ids[1]
    for page, own in zip(pages, ids, strict=True):
        used = {href[1:] for href in page.attributes("href") if href.startswith("#")}
        clipped = set(re.findall(r"url\(#([^)]+)\)", " ".join(page.attributes("clip-path"))))
        assert clipped
        assert used | clipped == own


def test_a_figure_stays_what_it_is() -> None:
    """Nothing that is drawn gets lost, and no point moves by more than a hundredth."""
    before = plot().decode()
    after = str(rendering.embed(plot(), "a", "label"))
    for tag in ("path", "use", "g", "clipPath", "image", "rect"):
        assert len(re.findall(rf"<{tag}\b", after)) == len(re.findall(rf"<{tag}\b", before)) > 0
    number = re.compile(r"-?\d+(?:\.\d+)?")
    lines = [[number.findall(d) for d in re.findall(r' d="([^"]*)"', t)] for t in (before, after)]
    for old, new in zip(*lines, strict=True):
        np.testing.assert_allclose(
            np.array(new, dtype=float), np.array(old, dtype=float), rtol=0, atol=0.0051
        )
    transforms = [re.findall(r'transform="([^"]*)"', text) for text in (before, after)]
    assert transforms[0] == transforms[1]
    assert 'viewBox="0 0 216 144"' in after
    assert len(after) < len(before)


def test_nothing_active_comes_with_a_figure() -> None:
    """Scripts, handlers, and whatever is loaded from elsewhere stay outside."""
    planted = f"""<svg xmlns="{SVG[1:-1]}" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt"
        height="5pt" onload="x()"><script>x()</script><style>@import "a.css";</style>
        <foreignObject><p>x</p></foreignObject><image xlink:href="http://a/b.png"/>
        <a xlink:href="javascript:x()"><path d="M 0 0"/></a>
        <path d="M 1.23456 2" style="fill: url(http://a/b)" onclick="x()" clip-path="url(#c)"/>
        </svg>"""
    after = rendering.embed(planted.encode(), "a", 'a "label" <b>')
    assert after == (
        '<svg viewBox="0 0 9 5" role="img" aria-label="a &#34;label&#34; &lt;b&gt;"><image />'
        '<path d="M 1.23 2" clip-path="url(#a--c)" /></svg>'
    )


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg", b"<html></html>"])
def test_what_is_not_svg_is_refused(content: bytes) -> None:
    """The error names the figure."""
    with pytest.raises(ActbenchError, match=r"^a\.svg is not "):
        rendering.embed(content, "a", "label")


def test_the_templates_are_part_of_the_package() -> None:
    """They lie where an installed package finds them."""
    found = {path.name for path in (files("actbench.pages") / "templates").iterdir()}
    assert {"report.html.j2", "report.md.j2", "report.css"} <= found


@pytest.fixture
def ended(actbench: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Call the report command with judgments that are given, in an empty folder."""
    monkeypatch.setattr(claims, "published", lambda: FILE)

    def call(judgments: list[Judgment], *arguments: object) -> Ended:
        monkeypatch.setattr(ledger.Results, "judge", lambda self: judgments)
        return actbench("report", *arguments)

    return call


def test_the_command_prints_both_paths(ended: Command, folder: Path, tmp_path: Path) -> None:
    """Exit code 0 with all as expected, 1 where a verdict changed, 2 without results."""
    calm = [j for j in JUDGMENTS if j.claim.id != "flips"]
    code, out, err = ended(calm, "--out", str(folder))
    assert code == 0
    assert "of them are judged from" in err or "judged from stored" in err
    assert [line.split()[0] for line in out.splitlines()] == [
        str(folder / name) for name in ("report.html", "report.md")
    ]
    assert ended(JUDGMENTS, "--out", str(folder), "--quiet") == (1, "", "")
    code, out, err = ended(calm, "--out", str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert err.startswith("actbench: error: ")
    assert "actbench reproduce --out" in err


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    """A browser to look at the page with."""
    program = browser.path()
    if program is None:
        pytest.skip(f"no browser to look at the page with: none of {', '.join(browser.NAMES)}")
    with browser.Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_a_browser_has_no_complaint(chromium: browser.Browser, whole: Path) -> None:
    """No error or warning, no request beyond the file itself, nothing blocked, all drawn."""
    chromium.open(whole / "report.html")
    asked = [event["request"]["url"] for event in chromium.told("Network.requestWillBeSent")]
    assert asked[0] == (whole / "report.html").as_uri()
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    assert chromium.told("Log.entryAdded", "Runtime.exceptionThrown") == []
    assert chromium.told("Runtime.consoleAPICalled") == []
    drawn = "[...document.querySelectorAll('svg')].filter(s => s.getBBox().width > 100).length"
    assert chromium.value(drawn) == len(list(whole.glob("*.svg")))


@pytest.mark.parametrize("width", [360, 700, 1000, 1600])
def test_the_page_fits_the_window(chromium: browser.Browser, whole: Path, width: int) -> None:
    """From a telephone up, the page does not scroll sideways, its details open or not."""
    chromium.open(whole / "report.html", width=width)
    needed = "document.documentElement.scrollWidth"
    assert chromium.value(needed) <= width
    chromium.value("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert chromium.value(needed) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(
    chromium: browser.Browser, whole: Path, scheme: str
) -> None:
    """Every text has a contrast of at least 4.5 to 1, the bound of WCAG 2.2, level AA."""
    chromium.open(whole / "report.html", scheme=scheme)
    colors = chromium.value(
        """[...new Set([...document.querySelectorAll('body *:not(svg, svg *)')]
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .map(e => {
                let b = e;
                while (b && getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)')
                    b = b.parentElement;
                return getComputedStyle(e).color + '/' + getComputedStyle(b).backgroundColor;
            }))]"""
    )
    assert len(colors) > 5
    for pair in colors:
        ink, paper = (luminance(color) for color in pair.split("/"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, pair
    page = luminance(chromium.value("getComputedStyle(document.body).backgroundColor"))
    assert page > 0.9 if scheme == "light" else page < 0.05


def test_print_is_light_and_whole(chromium: browser.Browser, whole: Path) -> None:
    """On paper there is no dark background, no navigation, and no figure that is cut off."""
    chromium.open(whole / "report.html", width=700, scheme="dark", media="print")
    assert luminance(chromium.value("getComputedStyle(document.body).color")) < 0.05
    assert chromium.value("document.querySelector('nav').offsetHeight") == 0
    folded = "[...document.querySelectorAll('details *')].filter(e => !e.checkVisibility())"
    assert chromium.value(f"{folded}.length") == 0
    lines = "[...document.links].map(a => getComputedStyle(a).textDecorationLine)"
    assert set(chromium.value(lines)) == {"none"}
    cut = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    assert chromium.value(f"{cut}.length") == 0


def luminance(color: str) -> float:
    """Relative luminance of a CSS color (WCAG 2.2)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_the_ledger_is_folded_until_it_is_asked_for(chromium: browser.Browser, whole: Path) -> None:
    """A filter shows the claims of one verdict; a link to a claim shows it among all."""
    shown = (
        "[...document.querySelectorAll('tbody tr')].filter(r => r.checkVisibility()).map(r => r.id)"
    )
    ways = {
        ".verdicts a[href='#show-not_reproduced']": ["claim-nasty", "claim-flips"],
        ".filters a[href='#show-direction_only']": ["claim-sign"],
        ".filters a[href='#show-all']": [f"claim-{j.claim.id}" for j in JUDGMENTS],
        ".short a[href='#claim-nasty']": [f"claim-{j.claim.id}" for j in JUDGMENTS],
    }
    for way, rows in ways.items():
        chromium.open(whole / "report.html")
        assert chromium.value(shown) == []
        chromium.value(f'document.querySelector("{way}").click()')
        assert chromium.value(shown) == rows, way


def test_figures_suit_the_window(chromium: browser.Browser, whole: Path) -> None:
    """On a telephone they scroll in their box, which says so; in the dark they are not slabs."""
    hint = "getComputedStyle(document.querySelector('figure'), '::before').content"
    wider = "(box => box.scrollWidth > box.clientWidth)(document.querySelector('.scroll'))"
    tone = "getComputedStyle(document.querySelector('.scroll svg')).filter"
    chromium.open(whole / "report.html", width=360, scheme="dark")
    assert "scroll sideways" in chromium.value(hint)
    assert chromium.value(wider)
    assert chromium.value(tone).startswith("invert")
    chromium.open(whole / "report.html")
    assert (chromium.value(hint), chromium.value(wider)) == ("none", False)
    assert chromium.value(tone) == "none"
