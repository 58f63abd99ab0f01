"""A sweep on Dask: this process hands out chunks and keeps them, Dask does everything between.

Only so many chunks are handed out at a time that every worker has its next one waiting, so that
neither the scheduler nor this process grows with the grid. Workers need no place in common: a
chunk's results, some kilobytes, come back here and are written here.
"""

from actbench.sweeps.clusters.connecting import REACH_S, require_reachable
from actbench.sweeps.clusters.dispatching import COME_BACK_S, run
from actbench.sweeps.clusters.local import local_workers

__all__ = ["COME_BACK_S", "REACH_S", "local_workers", "require_reachable", "run"]
