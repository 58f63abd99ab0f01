"""What a session trained for its claims, the verdicts that follow, and a record of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from actbench.pytest_plugin import BASELINE_SEEDS, devices_of, value_of
from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim, ClaimsFile
    from actbench.claims.verdicts import Judgment
    from actbench.runs.sources import Sources


FOLDER = pytest.StashKey[Path]()
"""Where the session keeps its trainings; workers of pytest-xdist share one place."""

_SENT = "actbench_folder"


def _shared_path(folder: Path, protocol: str, device: str) -> Path:
    """Return where a session keeps what a protocol trained."""
    return folder / f"actbench-{protocol}-{device.replace(':', '-')}.nc"


class Writer:
    """A plugin that writes the record once, in the process that the user started."""

    def __init__(self, path: Path, claims: ClaimsFile) -> None:
        if path.exists():
            raise pytest.UsageError(
                f"{path} is there already; name another file with --actbench-record"
            )
        try:
            prepare_folder(path.parent)
        except ActbenchError as error:
            raise pytest.UsageError(str(error)) from error
        self._path = path
        self._claims = claims

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn from a worker of pytest-xdist where they keep their trainings."""
        folder = getattr(node, "workeroutput", {}).get(_SENT)
        if folder is not None:
            node.config.stash[FOLDER] = Path(folder)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the record from what was trained, adding fingerprints and timings."""
        config = session.config
        folder = config.stash.get(FOLDER, None)
        if hasattr(config, "workerinput"):
            if folder is not None:
                config.workeroutput[_SENT] = str(folder)  # type: ignore[attr-defined]
            return
        from actbench.tracking import recording, records

        device = devices_of(config)[0]
        fast = [n for n, protocol in self._claims.protocol.items() if not protocol.slow]
        made = recording.make(
            device=device,
            threads=value_of(config, "threads"),
            already={} if folder is None else _trained(folder, fast, device),
        )
        records.save(made, self._path)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            fresh = sum(verdict.fresh for verdict in made.verdicts)
            reporter.write_line(f"\nrecord written to {self._path}: {fresh} claims measured")


def _trained(folder: Path, protocols: Iterable[str], device: str) -> dict[str, xr.Dataset]:
    from actbench.store import datasets

    paths = {name: _shared_path(folder, name, device) for name in protocols}
    return {name: datasets.load(path) for name, path in paths.items() if path.exists()}


_TRAININGS = pytest.StashKey["_Trainings"]()


def trainings_of(config: pytest.Config) -> _Trainings:
    """Return the trainings of a session."""
    if _TRAININGS not in config.stash:
        config.stash[_TRAININGS] = _Trainings(config)
    return config.stash[_TRAININGS]


def _owner(file: ClaimsFile) -> str:
    """Tell protocols of one name apart that stand in files of two."""
    return "" if file.of_the_study else f"{crc32(str(file.path).encode()):08x}-"


class _Trainings:
    """Datasets of protocols, made once per session.

    Workers of pytest-xdist share what one of them computed, on one thread each, as they run side
    by side.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._threads = value_of(config, "threads")
        shared = config.getoption("basetemp") if hasattr(config, "workerinput") else None
        if shared is None:
            private = TemporaryDirectory(prefix="actbench-")
            config.add_cleanup(private.cleanup)
            self._folder = Path(private.name)
        else:
            self._folder = Path(shared).parent
            self._folder.mkdir(parents=True, exist_ok=True)
        if hasattr(config, "workerinput"):
            self._threads = self._threads or 1
        config.stash[FOLDER] = self._folder
        self._known: dict[str, xr.Dataset] = {}
        self._sources: dict[Path | None, Sources] = {}
        self._early: dict[tuple[Path | None, str, str], dict[str, Judgment]] = {}

    def dataset(self, file: ClaimsFile, name: str, device: str | None = None) -> xr.Dataset | None:
        """Return the dataset of a protocol of a file; on the first device unless one is named.

        ``None`` for a slow protocol unless ``--actbench-slow`` was given: its claims are judged
        from stored measurements, where there are any.
        """
        from filelock import FileLock

        from actbench.runs import evidence
        from actbench.store import datasets
        from actbench.store.studies import experiment as get_experiment

        protocol = file.protocol[name]
        if self._stored_alone(file, name):
            return None
        # Each time: two files may mean different code by one name.
        self._sources_of(file).load_own()
        results = value_of(self._config, "from-results")
        if results is not None:
            return evidence.stored_dataset(results, name, protocol)
        device = device or devices_of(self._config)[0]
        path = _shared_path(self._folder, f"{_owner(file)}{name}", device)
        if path.name not in self._known:
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    evidence.check_settings(file)  # a mistake is told before anything is trained
                    config = evidence.config_for(protocol, self._seeds(), device, self._threads)
                    module = get_experiment(protocol.experiment).module()
                    datasets.save(module.run(config), path)
                self._known[path.name] = datasets.load(path)
        return self._known[path.name]

    def judge(self, test: pytest.Item, file: ClaimsFile, claim: Claim, device: str) -> Judgment:
        """Judge a claim, and note the verdict for the summary and for JUnit files."""
        from filelock import FileLock

        from actbench.runs.evidence import judge_one

        early = self._until_decided(file, claim, device)
        if early is not None:
            return _noted(test, early, stored=False)
        sources = self._sources_of(file)
        stored = False
        if claim.protocol is not None and file.protocol[claim.protocol].runs_code:
            # What one worker of pytest-xdist ran is kept, and the others read it.
            with FileLock(self._folder / f"{_owner(file)}{claim.protocol}.lock"):
                sources.table(claim.protocol)
        elif claim.protocol is not None and file.protocol[claim.protocol].experiment:
            stored = self.dataset(file, claim.protocol, device) is None
        result = judge_one(
            file, claim, lambda protocol: self.dataset(file, protocol, device), sources
        )
        return _noted(test, result, stored=stored)

    def _until_decided(self, file: ClaimsFile, claim: Claim, device: str) -> Judgment | None:
        """Judge by as many seeds as it takes, if that was asked for and its runs are made here."""
        from filelock import FileLock

        from actbench.runs import evidence
        from actbench.runs.early import Batches, decide, looked_at
        from actbench.store.studies import experiment as get_experiment

        name = claim.protocol
        if not value_of(self._config, "until-decided") or name not in looked_at(file):
            return None
        protocol = file.protocol[name]
        runs: Sources | Batches = self._sources_of(file)
        given = value_of(self._config, "from-results") is not None
        if protocol.experiment and (given or self._stored_alone(file, name)):
            return None
        key, seeds = (file.path, name, device), self._seeds()
        if key not in self._early:
            lock = self._folder / f"{_owner(file)}{name}-{device}.lock"
            if protocol.experiment:
                self._sources_of(file).load_own()
                config = evidence.config_for(protocol, seeds, device, self._threads)
                runs = Batches(get_experiment(protocol.experiment), config, lock.with_suffix(""))
            with FileLock(lock):
                judged = decide(file, name, runs, largest=None, seeds=seeds)
            self._early[key] = {judgment.claim.id: judgment for judgment in judged}
        return self._early[key][claim.id]

    def _sources_of(self, file: ClaimsFile) -> Sources:
        from actbench.runs.sources import Sources

        if file.path not in self._sources:
            self._sources[file.path] = Sources(
                file, allow_code=value_of(self._config, "allow-code"), seeds=self._seeds()
            )
        return self._sources[file.path]

    def _seeds(self) -> int:
        anew = value_of(self._config, "regenerate-baselines")
        seeds: int = BASELINE_SEEDS if anew else value_of(self._config, "seeds")
        return seeds

    def _stored_alone(self, file: ClaimsFile, name: str) -> bool:
        """Whether a protocol is slow and left to its stored measurements."""
        from actbench.claims import measured

        if (
            not file.protocol[name].slow
            or value_of(self._config, "slow")
            or value_of(self._config, "regenerate-baselines")
        ):
            return False
        # What a file of one's own has no measurements of can only be run.
        stored = measured.path_of(name, file.measured_folder)
        return file.of_the_study or stored.exists()


def _noted(test: pytest.Item, judgment: Judgment, *, stored: bool) -> Judgment:
    # What record_property does, without its warning about JUnit's default family.
    noted, row = test.user_properties, judgment.row()
    for key in ("verdict", "expected", "published", "measured", "margin", "seeds"):
        noted.append((key, row[key]))
    noted.append(("judged_from_stored_measurements", stored))
    noted.append(("actbench", {**row, "stored": stored}))
    return judgment
