"""What a claim's test asks for: its file, its device, its protocol's dataset, its verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from actbench.pytest_plugin.claims_files import claims_of
from actbench.pytest_plugin.options import BASELINE_SEEDS, devices_of

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim, ClaimsFile
    from actbench.claims.verdicts import Judgment


@pytest.fixture(scope="session")
def claims_file(request: pytest.FixtureRequest) -> ClaimsFile:
    """The claims of the file that the test is about, the study's unless it names another."""
    return claims_of(request.config, getattr(request, "param", None))


@pytest.fixture
def training_device(request: pytest.FixtureRequest) -> str:
    """Where the test's claim is measured; the first device unless there is a test for each."""
    chosen: str = getattr(request, "param", devices_of(request.config)[0])
    return chosen


@pytest.fixture(scope="session")
def protocol_dataset(
    pytestconfig: pytest.Config,
    claims_file: ClaimsFile,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., xr.Dataset | None]:
    """Return a function from a protocol's name and a device to a dataset made once per session.

    Workers of pytest-xdist share what one of them computed, on one thread each, as they run side
    by side. The function returns ``None`` for a slow protocol unless ``--slow`` was given: its
    claims are judged from stored measurements, where there are any.
    """
    from filelock import FileLock

    from actbench import datasets
    from actbench.claims import evidence
    from actbench.experiments import get as get_experiment
    from actbench.pytest_plugin.record import FOLDER, shared_path

    folder = tmp_path_factory.getbasetemp()
    threads = pytestconfig.getoption("--threads")
    if hasattr(pytestconfig, "workerinput"):
        folder = folder.parent
        threads = threads or 1
    pytestconfig.stash[FOLDER] = folder
    results = pytestconfig.getoption("--from-results")
    anew = pytestconfig.getoption("--regenerate-baselines")
    seeds = BASELINE_SEEDS if anew else pytestconfig.getoption("--seeds")
    known: dict[str, xr.Dataset] = {}
    # Files of two names may have protocols of one.
    owner = "" if claims_file.of_the_study else f"{crc32(str(claims_file.path).encode()):08x}-"
    first = devices_of(pytestconfig)[0]

    def find(name: str, device: str = first) -> xr.Dataset | None:
        protocol = claims_file.protocol[name]
        if protocol.slow and _left_to_the_store(pytestconfig, claims_file, name):
            return None
        if results is not None:
            return evidence.stored_dataset(results, name, protocol)
        path = shared_path(folder, f"{owner}{name}", device)
        if path.name not in known:
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    config = evidence.config_for(protocol, seeds, device, threads)
                    module = get_experiment(protocol.experiment).module()
                    datasets.save(module.run(config), path)
            known[path.name] = datasets.load(path)
        return known[path.name]

    return find


def _left_to_the_store(config: pytest.Config, file: ClaimsFile, slow_protocol: str) -> bool:
    from actbench.claims import measured

    if config.getoption("--slow") or config.getoption("--regenerate-baselines"):
        return False
    # What a file of one's own has no measurements of can only be run.
    stored = measured.path_of(slow_protocol, file.measured_folder)
    return file.of_the_study or stored.exists()


@pytest.fixture
def judgment(
    request: pytest.FixtureRequest,
    claim: Claim,
    claims_file: ClaimsFile,
    protocol_dataset: Callable[..., Any],
    training_device: str,
) -> Judgment:
    """The verdict on the test's claim, noted for the summary and for JUnit files."""
    from actbench.claims.evidence import judge_one

    def dataset_of(protocol: str) -> Any:
        return protocol_dataset(protocol, training_device)

    result = judge_one(claims_file, claim, dataset_of)
    stored = claim.protocol is not None and dataset_of(claim.protocol) is None
    # What record_property does, without its warning about JUnit's default family.
    noted = request.node.user_properties
    for key in ("verdict", "expected", "published", "measured", "margin", "seeds"):
        noted.append((key, result.row()[key]))
    noted.append(("judged_from_stored_measurements", stored))
    noted.append(("actbench", {**result.row(), "stored": stored}))
    return result
