"""Imports matplotlib, which refuses to be imported where MPLBACKEND names a notebook's backend.

A notebook hands its own to each command that is started in it; figures need none.
"""

import os
from contextlib import suppress

_given = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib as mpl
finally:
    if _given is not None:
        os.environ["MPLBACKEND"] = _given
if _given:
    with suppress(ValueError):
        mpl.rcParams["backend"] = _given  # for figures of the user's in this process
