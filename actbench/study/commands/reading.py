"""Commands that show what is there: list, report; and code of one's own, which is there too."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

from actbench.cli.options import Out, Quiet, Short, end, interruptible, require_form
from actbench.store import studies, terminal
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.catalog.initializers import KEYS as INITIALIZER_KEYS
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments import FURTHER as FURTHER_EXPERIMENTS


def offered(kind: str) -> tuple[str, ...]:
    """Name what installed packages offer, without loading any of it."""
    return tuple(sorted(entry_points(group=f"actbench.{kind}s").names))


def load_own(kind: str, given: str) -> str:
    """Load what the user names as code of their own; a built-in name is left to its registry."""
    if ":" in given or given in offered(kind):
        from actbench.study import own

        getattr(own, kind)(given)
    return given


def list_(form: Short = "table") -> None:
    """Name the experiments, activations and initializers."""
    require_form(form, ("table", "json"))
    if form == "json":
        terminal.say(json.dumps(_listed(), indent=1))
        return
    widest = max(map(len, studies.experiments()))
    for heading, known in (
        (f"experiments: the {len(EXPERIMENTS)} of the study, which reproduce runs", EXPERIMENTS),
        ("experiments for other studies, which reproduce does not run", FURTHER_EXPERIMENTS),
    ):
        terminal.say(heading)
        for experiment in known.values():
            terminal.say(f"  {experiment.key:{widest}}  {experiment.summary}")
    for other in (o for o in studies.registered() if not o.own):
        terminal.say(f"experiments of {other}: {other.study.title}")
        for experiment in other.study.experiments:
            terminal.say(f"  {experiment.key:{widest}}  {experiment.summary}")
        if other.study.claims is not None:
            terminal.say(f"  judge its claims with: actbench verify {other.study.claims}")
    for problem in studies.problems():
        terminal.say(f"Note: {problem}", err=True)
    terminal.say("activations")
    for activation in (*ACTIVATIONS.values(), *FURTHER.values()):
        low, high = activation.derivative_bounds
        bounds = f"slope in [{low:.4g}, {high:.4g}]"
        terminal.say(f"  {activation.key:12} {activation.formula:29} {bounds}")
    for name in offered("activation"):
        terminal.say(f"  {name:12} of an installed package; look at it with: actbench try {name}")
    terminal.say("initializers")
    for key in INITIALIZER_KEYS:
        terminal.say(f"  {key}")


def _listed() -> dict[str, object]:
    return {
        "experiments": [
            {"key": e.key, "summary": e.summary, "reproduce": e.key in EXPERIMENTS}
            for e in studies.experiments().values()
        ],
        "studies": [
            {
                "name": found.study.name,
                "title": found.study.title,
                "experiments": [e.key for e in found.study.experiments],
                "claims": found.study.claims and str(found.study.claims),
            }
            for found in studies.registered()
        ],
        "activations": [
            {"key": a.key, "formula": a.formula, "slope": a.derivative_bounds}
            for a in (*ACTIVATIONS.values(), *FURTHER.values())
        ],
        "activations_installed": offered("activation"),
        "initializers": list(INITIALIZER_KEYS),
    }


def report(out: Out = Path("results"), quiet: Quiet = False) -> None:
    """Write report.html and report.md into a folder of results, without computing anything anew.

    The page holds its figures and needs no network: open it, send it, print it. It has the ledger,
    each experiment with figures and findings, and why some claims do not reproduce. Claims whose
    experiment the folder lacks are judged from stored measurements, and say so.

    Example: actbench run sine-regression --out mine && actbench report --out mine
    """
    with interruptible():
        from actbench import ledger
        from actbench.claims import published
        from actbench.study.commands.session import StudySession

        results = ledger.Results(published(), out)
        judgments = results.judge()
        StudySession(out, quiet, overwrite=False).write_report(judgments, results)
        if not quiet:
            terminal.say(ledger.origins(judgments, results, out), err=True)
    end(judgments)
