"""Judging until it is decided: runs batch by batch, at a level that stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.claims.claim import Claim, Verdict
from actbench.claims.looks import boundaries, judge_sequential, schedule, share_asked, share_shown
from actbench.claims.metrics import measure
from actbench.claims.verdicts import Judgment, judge_values
from actbench.runs import evidence
from actbench.runs.comparing import judge_won
from actbench.runs.results import default_name, fulfil
from actbench.runs.sources import metric_of
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.store.studies import FIRST_SEED, Experiment
from actbench.store.studies import experiment as get_experiment

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.claims_file import ClaimsFile, Protocol
    from actbench.runs.sources import Sources
    from actbench.store.parallel import Progress


def grows(claim: Claim) -> bool:
    """Tell whether a claim is about a share of runs, which can be looked at as they come."""
    return claim.relation is not None and claim.quantifier in ("median", "every")


def looks_of(
    claims: Sequence[Claim],
    level: Callable[[Claim], float],
    largest: int | None = None,
    step: int | None = 1,
) -> dict[str, tuple[int, ...]]:
    """Return the numbers of runs at which claims about the same runs are looked at."""
    asked = {c.id: (share_asked(c), level(c), largest, step) for c in claims if grows(c)}
    first = 1
    if step != 1:
        first = max((schedule(*each)[0] for each in asked.values()), default=1)
    return {key: schedule(*each, first) for key, each in asked.items()}


def judge_early(
    claim: Claim, values: NDArray[np.float64], alpha: float, looks: tuple[int, ...]
) -> Judgment:
    """Judge a claim by the runs that there are so far."""
    if claim.pooled:
        return judge_won(claim, values, alpha)
    if claim.relation is None or not grows(claim):
        return judge_values(claim, values, alpha)
    verdict, runs = _early_verdict(claim, values, alpha, looks)
    used = values[:runs] if verdict is not Verdict.INCONCLUSIVE else values
    decisive = claim.decisive(verdict) or claim.relation
    low, high = decisive.bounds
    inside = int(((used >= low) & (used <= high)).sum())
    passed = boundaries(looks, share_asked(claim), alpha)
    made = tuple(look for look in passed if look.runs <= max(runs, len(used)))
    at = "not decided" if verdict is Verdict.INCONCLUSIVE else "decided"
    last = verdict is not Verdict.INCONCLUSIVE or len(values) >= looks[-1]
    about_all = claim.quantifier == "every" and decisive is claim.relation
    shown = share_shown(claim, used, alpha, looks) if about_all and last else 0
    told = f", which shows that at least {shown * 100:.0f} % do" if shown else ""
    spent = made[-1].level_spent if made else 0.0
    judged = judge_values(claim, used, alpha)
    return replace(
        judged,
        verdict=verdict,
        interval=None,
        margin=None,
        looks=made,
        seeds_needed=looks[0],
        sentence=(
            f"{at} after {len(used)} runs of at most {looks[-1]}, looking from {looks[0]} on: "
            f"{inside} lie in the range{told}, {claim.quantifier} {judged.measured:.4g}; "
            f"{spent:.2g} of the level {alpha:.2g} was spent"
        ),
        to_flip=(
            f"another answer at a level of {alpha:.2g}"
            if verdict is not Verdict.INCONCLUSIVE
            else f"more than {looks[-1]} runs, allowed for from the start"
        ),
    )


def _early_verdict(
    claim: Claim, values: NDArray[np.float64], alpha: float, looks: tuple[int, ...]
) -> tuple[Verdict, int]:
    """Decide by the relation, else by the direction; the verdict, and the runs that it took."""
    holds, runs = judge_sequential(claim, values, alpha, looks)
    if holds is False and claim.direction is not None:
        weaker, runs = judge_sequential(claim, values, alpha, looks, claim.direction)
        return _told(weaker, Verdict.DIRECTION_ONLY), runs
    return _told(holds, Verdict.REPRODUCED), runs


def _told(holds: bool | None, verdict: Verdict) -> Verdict:
    if holds is None:
        return Verdict.INCONCLUSIVE
    return verdict if holds else Verdict.NOT_REPRODUCED


def until_decided(
    claims: Sequence[Claim],
    level: Callable[[Claim], float],
    values: Callable[[Claim, int], NDArray[np.float64]],
    looks: Mapping[str, tuple[int, ...]],
    fixed: int,
) -> list[Judgment]:
    """Make runs until every claim about them is decided, or there are no more."""
    found: dict[str, Judgment] = {}
    made = 0
    for claim in claims:
        if claim.quantifier == "mean":
            made = fixed
            found[claim.id] = judge_values(claim, values(claim, fixed), level(claim))
    for runs in sorted({runs for each in looks.values() for runs in each}):
        left = [c for c in claims if c.id in looks and not _decided(found.get(c.id))]
        if not left:
            break
        for claim in left:
            if runs in looks[claim.id]:
                made = max(made, runs)
                numbers = values(claim, runs)
                found[claim.id] = judge_early(claim, numbers, level(claim), looks[claim.id])
    for claim in claims:
        if claim.id not in found:  # a value that no seed changes
            found[claim.id] = judge_values(claim, values(claim, made or fixed), level(claim))
    return [found[claim.id] for claim in claims]


def _decided(judgment: Judgment | None) -> bool:
    return judgment is not None and judgment.verdict is not Verdict.INCONCLUSIVE


STEP = 8
"""Seeds of a batch: trained together in about the time of a few. At a level of 0.0001 a median that
95 % agree with takes 24.5 on average, 26.7 in batches of 16 and 22.5 one by one."""


def _unseen(title: str, steps: int) -> AbstractContextManager[Progress]:  # noqa: ARG001
    return nullcontext(lambda done: None)


class Batches:
    """The dataset of a protocol in a folder, which is extended by seeds.

    A seed's numbers do not depend on the batch that it came with, up to the rounding that the
    library of products has at another size of a stack; ``Stack`` says where bit for bit.
    """

    def __init__(
        self,
        experiment: Experiment,
        config: Any,
        out: Path,
        name: str | None = None,
        overwrite: bool = False,
        progress: Callable[[str, int], AbstractContextManager[Progress]] = _unseen,
    ) -> None:
        self._experiment = experiment
        self._config = config
        self._name = name
        self._path = out / (name or default_name(experiment))
        self._overwrite = overwrite
        self._progress = progress
        self._dataset: xr.Dataset | None = None
        self._notes: list[str] = []

    @property
    def step(self) -> int | None:
        """Seeds from look to look; ``None`` where more of them means to compute all anew."""
        return None if self._experiment.whole else STEP

    @property
    def made(self) -> int:
        """How many seeds there are."""
        return 0 if self._dataset is None else self._dataset.sizes["seed"]

    def up_to(self, runs: int) -> xr.Dataset:
        """Bring the dataset to at least so many seeds, from 42 on; what is there is kept."""
        if self._dataset is None and not self._overwrite:
            self._dataset = self._there()
        if self._dataset is None or (self.made < runs and self.step is None):
            replace = self._overwrite or self._dataset is not None
            self._dataset = self._run(self._path, range(runs), overwrite=replace)
        elif self.made < runs:
            self._dataset = self._extended(self._dataset, runs)
        return self._dataset

    def finish(self) -> list[str]:
        """Write what belongs beside the dataset, where it is no variant of the experiment."""
        if self._name is None and self.made:
            config = self._with(range(self.made))
            fulfil(self._experiment, config, self._path.parent)
        return self._notes

    def _there(self) -> xr.Dataset | None:
        if not self._path.exists():
            return None
        try:
            runs = datasets.load(self._path).sizes["seed"]
        except ActbenchError:
            return None  # to be told, or mended, by what would write there
        return self._run(self._path, range(runs))

    def _run(self, path: Path, places: range, *, overwrite: bool = False) -> xr.Dataset:
        config = self._with(places)
        title = f"{path.stem.removeprefix('.')}, {len(places)} seeds"
        with self._progress(title, max(1, config.steps)) as progress:
            outcome = fulfil(
                self._experiment,
                config,
                path.parent,
                name=path.name,
                overwrite=overwrite,
                progress=progress,
            )
        self._notes += outcome.notes
        return outcome.dataset

    def _with(self, places: range) -> Any:
        seeds = tuple(FIRST_SEED + place for place in places)
        return dataclasses.replace(self._config, seeds=seeds)

    def _extended(self, first: xr.Dataset, runs: int) -> xr.Dataset:
        """Run the seeds that lack into a file of their own, then put both together."""
        lacking = range(self.made, runs)
        path = self._path.with_name(f".{self._path.stem}-{self.made}-{runs}.nc")
        further = self._run(path, lacking)
        protocol = self._with(range(runs)).protocol()
        facts = datasets.environment_of(further)
        whole = datasets.join([first, further], "seed")
        whole = datasets.finish(whole, self._experiment.key, protocol, facts)
        datasets.save(whole, self._path)
        for left in (path, path.with_name(f"{path.name}.sha256")):
            left.unlink(missing_ok=True)
        return whole


def decide(
    claims: ClaimsFile,
    name: str,
    runs: Sources | Batches,
    *,
    largest: int | None,
    seeds: int,
    workers: int = 1,
) -> list[Judgment]:
    """Make runs of a protocol until its claims about a median or about every run are decided."""
    about = [claim for claim in claims.claim if claim.protocol == name]
    own = claims.protocol[name].seeds
    step = runs.step if isinstance(runs, Batches) else workers

    def values(claim: Claim, count: int) -> NDArray[np.float64]:
        if not isinstance(runs, Batches):
            return runs.grow(claim, count)
        dataset = runs.up_to(count).isel(seed=slice(count))
        with metric_of(claims, claim):
            return measure(claim.metric, dataset)

    looks = looks_of(about, claims.level, own or largest, step)
    return until_decided(about, claims.level, values, looks, own or seeds)


def looked_at(claims: ClaimsFile) -> list[str]:
    """List the protocols of a file whose runs are made, with a claim that can be looked at."""
    asked = {claim.protocol for claim in claims.claim if grows(claim)}
    return [name for name, p in claims.protocol.items() if name in asked and not p.table]


@dataclass(frozen=True)
class Job:
    """One run of an experiment, with the name of its dataset's file where it is a variant of it."""

    experiment: Experiment
    config: Any
    name: str | None = None


def jobs_of(file: ClaimsFile, seeds: int, device: str, threads: int | None) -> list[Job]:
    """List what the claims of a file need, slow protocols too."""
    found = evidence.experiments_of(file)
    return [job_of(name, protocol, seeds, device, threads) for name, protocol in found]


def job_of(name: str, protocol: Protocol, seeds: int, device: str, threads: int | None) -> Job:
    """Prepare what a protocol runs, into the file that its claims are judged from."""
    config = evidence.config_for(protocol, seeds, device, threads)
    variant = evidence.file_name(name, protocol) if protocol.settings else None
    return Job(get_experiment(protocol.experiment), config, variant)


def decide_jobs(
    file: ClaimsFile,
    sources: Sources,
    jobs: Sequence[Job],
    out: Path,
    *,
    overwrite: bool = False,
    bar: Callable[[str, int], AbstractContextManager[Progress]] = _unseen,
    tell: Callable[[str], None] = lambda text: None,
    largest: int | None,
    **numbers: int,
) -> tuple[dict[str, Judgment], list[Job]]:
    """Make runs until the claims that can be looked at as they come are decided; the jobs left."""
    sources.require_allowed()
    named = dict(zip((name for name, _ in evidence.experiments_of(file)), jobs, strict=True))
    batches = {
        name: Batches(j.experiment, j.config, out, j.name, overwrite, bar)
        for name, j in named.items()
    }
    found: dict[str, Judgment] = {}
    for name in looked_at(file):
        runs = batches.get(name)
        judged = decide(file, name, runs or sources, largest=largest, **numbers)
        found |= {judgment.claim.id: judgment for judgment in judged}
        tell(f"{name}: {max(judgment.seeds for judgment in judged)} runs")
        for sentence in runs.finish() if runs else ():
            tell(f"Note: {sentence}")
    return found, [job for name, job in named.items() if not batches[name].made]
