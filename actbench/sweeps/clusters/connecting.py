"""The connection to a scheduler, and whether the same versions are at work there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from actbench import environment
from actbench.errors import ActbenchError, one_line
from actbench.sweeps import remote

if TYPE_CHECKING:
    from distributed import Client

REACH_S = 10.0
"""How long a scheduler may take to answer at first."""

_SAME_EVERYWHERE = ("python", "dask", "distributed")


class LostSchedulerError(Exception):
    """The connection broke; what was handed out is handed out again."""


def require_reachable(address: str, timeout_s: float | None = None) -> None:
    """Find out whether a scheduler answers."""
    try:
        asyncio.run(_knock(address, REACH_S if timeout_s is None else timeout_s))
    except (OSError, ValueError, TimeoutError) as error:
        raise ActbenchError(
            f"can't reach a Dask scheduler at {address}: {error}. Start one with 'dask scheduler', "
            "give its address as --scheduler tcp://HOST:PORT, and check that no firewall is between"
        ) from error


@contextmanager
def connected(address: str, timeout_s: float) -> Iterator[Client]:
    """Connect to a scheduler for a while."""
    from distributed import Client

    # First, as a Client that finds nobody complains once more when it is deleted.
    require_reachable(address, timeout_s)
    try:
        client = Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, TimeoutError) as error:  # lost in between
        raise ActbenchError(f"can't use the Dask scheduler at {address}: {error}") from error
    try:
        yield client
    finally:
        # One that is closed while it tries to reconnect says that its pool is closed.
        with suppress(OSError, TimeoutError, RuntimeError):
            client.close(timeout=2)


async def _knock(address: str, timeout_s: float) -> None:
    from distributed.comm.core import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=timeout_s, **arguments)
    await comm.close()


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Turn all that a broken connection raises into one error."""
    from concurrent.futures import CancelledError

    try:
        yield
    except (CancelledError, OSError, TimeoutError) as error:
        raise LostSchedulerError(f" ({one_line(error)})") from error


def require_same_versions(client: Client) -> None:
    """Compare scheduler and workers with this process."""
    found: Any = client.get_versions()
    here = {name: found["client"]["packages"][name] for name in _SAME_EVERYWHERE}
    everyone = {"the scheduler": found["scheduler"]}
    everyone.update({f"worker {address}": each for address, each in found["workers"].items()})
    for where, each in everyone.items():
        remote.require_versions(where, each["packages"], here)
    ours = environment.versions()
    try:
        theirs = client.run_on_scheduler(environment.versions)
    except (ImportError, AttributeError) as error:
        raise _without_actbench("the scheduler", error) from error
    # It passes on what actbench wrote, but computes nothing.
    remote.require_versions("the scheduler", theirs, {"actbench": ours["actbench"]})
    for address, answer in client.run(environment.versions, on_error="return").items():
        if isinstance(answer, Exception):
            raise _without_actbench(f"worker {address}", answer) from answer
        remote.require_versions(f"worker {address}", answer, ours)


def _without_actbench(where: str, error: Exception) -> ActbenchError:
    return ActbenchError(
        f"{where} can't run actbench: {one_line(error)}. Install the same actbench there, such as "
        "by one environment or image for all"
    )
