"""Studies: what a package registers, so that claims files can name its experiments and metrics.

A package declares a ``Study`` as an entry point of the group ``actbench.studies``. The study of
activation functions, which comes with actbench, does so too, and is found in no other way.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from actbench import __version__
from actbench.store.errors import (
    ActbenchError,
    of_an_extra,
    one_line,
    require_positive_int,
    unknown_name,
)

FIRST_SEED = 42
LARGEST_SEED = 2**31 - 1  # NetCDF 3 holds integers of 32 bits


def expand(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """List the seeds that a count stands for, or check those that are named."""
    if isinstance(seeds, int):
        return tuple(range(FIRST_SEED, FIRST_SEED + require_positive_int("seeds", seeds)))
    result = tuple(int(seed) for seed in seeds)
    if (
        not result
        or min(result) < 0
        or max(result) > LARGEST_SEED
        or len(set(result)) < len(result)
    ):
        raise ActbenchError(
            f"seeds are {list(result)!r}, but must be at least one, none below 0 or above "
            f"{LARGEST_SEED}, each named once"
        )
    return result


GROUP = "actbench.studies"
_KINDS = ("str", "int", "float")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Experiment:
    """An experiment as data; its module is imported when it is run.

    The module at ``place`` has ``Config``, a frozen dataclass whose fields are the settings and
    ``seeds`` (a number, or the seeds themselves), ``device`` and ``threads``, with a method
    ``protocol()`` that lists every setting which a number depends on, and a property ``steps``, the
    whole number of steps of progress; and ``run(config, progress)``, which calls ``progress`` with
    the number of steps done and returns a dataset as ``datasets.finish`` leaves it. It may have
    ``study_files(dataset)``, files by name to be written as JSON beside the dataset;
    ``calibration(config)``, a short run from which a long one's duration is told;
    ``coordinates(metric, config)``, for each argument of a metric its possible values and the
    setting that decides them, or None; and ``problems(metric, config)``, sentences on why a metric
    can't be computed by a protocol.

    Args:
        key: Name on the command line and in claims files, such as ``"sine-regression"``.
        summary: What it does, in one line.
        place: Full name of its module.
        metrics: Full names of modules that compute numbers from its dataset: each has ``METRICS``,
            functions of a dataset and arguments of type ``str``, ``int`` or ``float`` that return
            one number per seed, shape ``(seed,)``. A metric is called as its function is, and is
            defined by the first sentence of the docstring. A module may have
            ``exact_metrics(dataset)``, metrics that nothing but rounding changes from run to run
            and that are stored beside those of the claims, and ``rounding_ceiling(metric,
            settings)``: what a metric that is rounding and nothing else stays below, or None.
        resumable: Whether its ``run`` takes a checkpoint as its third argument, because it lasts
            long.
        whole: Whether it computes more than a sum of its seeds, so that further seeds mean to
            compute all of it anew.
        figures: Full name of a module that draws its dataset: ``FIGURES``, names and functions that
            return a Matplotlib figure, which ``actbench run`` writes; and, where it has them,
            ``ANIMATIONS``, whose functions return the bytes of a GIF, and ``CAPTIONS``, a sentence
            for a name. Empty where there are none.
        findings: Full name of a module whose ``findings(dataset)`` says in sentences what was
            found. Empty where there is none.
    """

    key: str
    summary: str
    place: str
    metrics: tuple[str, ...] = ()
    resumable: bool = False
    whole: bool = False
    figures: str = ""
    findings: str = ""

    def module(self) -> ModuleType:
        """Import the module that runs it."""
        return _imported(self.place, f"the experiment {self.key!r}")

    def drawn(self, kind: str = "FIGURES") -> Mapping[str, Any]:
        """Import what draws it: ``FIGURES``, ``ANIMATIONS`` or ``CAPTIONS``, by a figure's name."""
        place, what = self.figures, f"the figures of {self.key!r}"
        return getattr(_imported(place, what), kind, {}) if place else {}

    def found(self, dataset: Any) -> list[str]:
        """Say in sentences what was found in a dataset of it."""
        place, what = self.findings, f"the findings of {self.key!r}"
        return list(_imported(place, what).findings(dataset)) if place else []


@dataclass(frozen=True)
class Study:
    """A study as a package registers it: data that is cheap to import, and names of modules.

    Args:
        name: What the study is called, such as ``"my-study"``.
        title: What it is about, in one line.
        experiments: What makes its runs, under names that no other installed study has.
        claims: Its file of claims. Measurements that are stored of slow protocols lie in the folder
            ``measured`` beside it.
        further: Further files of claims that come with it.
        definitions: Of variables and coordinates of its datasets, definition and unit by name.
        parts: What else it brings, by the part's name the full name of a module. ``commands``:
            ``COMMANDS``, functions by the panel of ``actbench --help`` that they stand in.
            ``names``: ``setting_problems(settings)`` and ``argument_problem(name, value)``, what is
            wrong with names in a claims file. ``remarks``: ``remarks(file, judgments)``, a sentence
            for the ledger by a claim's id. The others, which the study of activation functions
            brings, are how experiments are computed on this machine and recorded.

    Raises:
        ActbenchError: Its experiments are not of the class ``Experiment``.
    """

    name: str
    title: str
    experiments: tuple[Experiment, ...]
    claims: Path | None = None
    further: tuple[Path, ...] = ()
    definitions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for given in self.experiments:
            if not isinstance(given, Experiment):
                raise ActbenchError(
                    f"an experiment of {self.name!r} is {given!r}, but must be an "
                    "actbench.Experiment"
                )


@dataclass(frozen=True)
class Installed:
    """A study with the entry point by which it was found."""

    study: Study
    entry: EntryPoint

    def __str__(self) -> str:
        """The study and who brings it, for a sentence."""
        return f"{self.study.name!r} ({_distribution(self.entry)})"

    @property
    def own(self) -> bool:
        """Whether it comes with actbench."""
        return _is_own(self.entry)

    def metrics(self) -> Iterator[tuple[ModuleType, tuple[str, ...]]]:
        """Import its modules of metrics, each with the keys of the experiments that it is for."""
        for place in dict.fromkeys(m for e in self.study.experiments for m in e.metrics):
            try:
                module = import_module(place)
                for function in module.METRICS:
                    arguments(function)
            except Exception as error:  # a stranger's code raises whatever it meets
                _note(self.entry, f"the module {place!r}", error)
            else:
                yield module, tuple(e.key for e in self.study.experiments if place in e.metrics)


def arguments(metric: Callable[..., object]) -> dict[str, str]:
    """Return the types, by name, that a metric's arguments after the dataset have."""
    found = {}
    for p in list(inspect.signature(metric).parameters.values())[1:]:
        found[p.name] = getattr(p.annotation, "__name__", str(p.annotation))
        if found[p.name] not in _KINDS:
            raise TypeError(
                f"the argument {p.name!r} of the metric {metric.__name__!r} is annotated "
                f"{found[p.name]!r}, but must be {', '.join(_KINDS)}"
            )
    return found


class Lookup(Mapping[str, _T]):
    """A registry by name that is filled when it is first asked, and not when it is imported."""

    def __init__(self, fill: Callable[[], Mapping[str, _T]]) -> None:
        self._filled = cache(fill)

    def __getitem__(self, name: str) -> _T:
        return self._filled()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._filled())

    def __len__(self) -> int:
        return len(self._filled())


def from_module(place: str) -> Callable[[str], Any]:
    """Make a package's ``__getattr__`` that looks names up in a module of it, once one is asked."""

    def look_up(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = import_module(place)
        return module if name == place.rpartition(".")[2] else getattr(module, name)

    return look_up


_broken: dict[str, str] = {}


@cache
def registered() -> tuple[Installed, ...]:
    """Find every installed study that can be imported, ours first; ``problems`` tells of others."""
    found = []
    for entry in sorted(_entries(), key=lambda e: (not _is_own(e), e.name, e.value)):
        try:
            study = entry.load()
            if not isinstance(study, Study):
                raise TypeError(f"{entry.value} is no actbench.Study")
        except (Exception, SystemExit) as error:  # a stranger's code raises whatever it meets
            _note(entry, f"the study {entry.name!r}", error)
        else:
            found.append(Installed(study, entry))
    return tuple(found)


def _note(entry: EntryPoint, what: str, error: BaseException) -> None:
    """Keep what is wrong with a part of a study, to be told where it is missed."""
    name = one_line(error) if isinstance(error, Exception) else f"it ends with {error!r}"
    told = f"{what} of {_distribution(entry)} can't be used: {name}; repair or uninstall it"
    _broken.setdefault(f"{entry.value} {what}", told)


def problems() -> tuple[str, ...]:
    """Tell which installed studies, or parts of them, can't be used, and who brings them."""
    registered()
    return tuple(_broken.values())


def unusable() -> str:
    """The same, to stand behind a sentence about a name that is not known."""
    return "".join(f" ({told})" for told in problems())


def shipped() -> Study:
    """Return the study that comes with actbench."""
    own = next((installed.study for installed in registered() if installed.own), None)
    if own is not None:
        return own
    raise ActbenchError(
        "the study that comes with actbench is not registered: its installation lacks the entry "
        f"points of the group {GROUP}{unusable()}. Install it again"
    )


def parts(name: str) -> list[ModuleType]:
    """Import a part of the program from every study that brings it; a broken one is told later."""
    imported = []
    for found in registered():
        if name in found.study.parts:
            try:
                imported.append(import_module(found.study.parts[name]))
            except Exception as error:  # a stranger's code raises whatever it meets
                if found.own:
                    raise
                _note(found.entry, f"the part {name!r}", error)
    return imported


def own_part(name: str) -> ModuleType:
    """Import a part of the program that the study which comes with actbench brings."""
    return _imported(shipped().parts[name], f"the part {name!r} of {shipped().name!r}")


def by_name(kind: str, found: Iterable[tuple[str, _T, Installed]]) -> dict[str, _T]:
    """Put what studies register under its names, and refuse a name that two of them use."""
    things: dict[str, _T] = {}
    owners: dict[str, Installed] = {}
    for name, thing, owner in found:
        if name in things and things[name] != thing:
            raise ActbenchError(
                f"two studies register the {kind} {name!r}: {owners[name]} and {owner}. Uninstall "
                "one of them, or have it renamed there"
            )
        things[name], owners[name] = thing, owner
    return things


@cache
def experiments() -> Mapping[str, Experiment]:
    """Return the experiments of all studies that are installed, by key."""
    return MappingProxyType(
        by_name("experiment", ((e.key, e, of) for of in registered() for e in of.study.experiments))
    )


def experiment(key: str) -> Experiment:
    """Look up an experiment of any study by its key."""
    known = experiments()
    if key not in known:
        raise ActbenchError(f"{unknown_name('experiment', key, known)}{unusable()}")
    return known[key]


def owner(key: str) -> Installed | None:
    """Return the study that an experiment is of; None where no study has it."""
    known = experiments().get(key)
    return next((found for found in registered() if known in found.study.experiments), None)


def _imported(place: str, what: str) -> ModuleType:
    try:
        return import_module(place)
    except ActbenchError:
        raise
    except Exception as error:  # a stranger's code raises whatever it meets
        if of_an_extra(error):  # told by whoever asked, with what for
            raise
        raise ActbenchError(
            f"{what} can't be used: its module {place!r} can't be imported ({one_line(error)})"
        ) from error


def _is_own(entry: EntryPoint) -> bool:
    return entry.module.partition(".")[0] == "actbench"


def _distribution(entry: EntryPoint) -> str:
    if entry.dist is None:
        return f"actbench {__version__}"
    return f"{entry.dist.name} {entry.dist.version}"


def _entries() -> list[EntryPoint]:
    """Entry points of what is installed; a clone has its own in ``pyproject.toml`` at any rate.

    What is installed of a clone says what it declared on the day of its installation, and a folder
    on ``PYTHONPATH`` says nothing.
    """
    found = [*entry_points(group=GROUP)]
    file = Path(__file__).parents[2] / "pyproject.toml"
    if not any(map(_is_own, found)) and file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        declared = project.get("entry-points", {}).get(GROUP, {})
        found += filter(_is_own, (EntryPoint(n, value, GROUP) for n, value in declared.items()))
    return found
