"""Which values a metric's arguments can take, told from a protocol's settings before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actbench.studies import experiment as get_experiment


@dataclass(frozen=True)
class Coordinate:
    """The values that an argument can take.

    Args:
        values: All of them.
        setting: The setting that decides them; none where no setting does.
    """

    values: Sequence[Any]
    setting: str | None = None

    def __str__(self) -> str:
        """The values, for a sentence."""
        if isinstance(self.values, range) and self.values:
            return f"{self.values[0]} to {self.values[-1]}"
        return ", ".join(str(value) for value in self.values) or "none"


def problems(metric: Mapping[str, Any], experiment: str, config: Any) -> Iterator[str]:
    """Look for arguments that name what the protocol's dataset will not have."""
    yield from _asked(experiment, "problems", metric, config)
    for argument, coordinate in of(metric, experiment, config).items():
        if metric[argument] not in coordinate.values:
            change = f"change its setting {coordinate.setting!r}, or " if coordinate.setting else ""
            remedy = f"{change}name one that it has"
            yield (
                f"{argument} is {metric[argument]!r}, but the claim's protocol has {coordinate}; "
                f"{remedy}"
            )


def of(metric: Mapping[str, Any], experiment: str, config: Any) -> dict[str, Coordinate]:
    """List the values of each of a metric's arguments that a protocol decides.

    They are those of the setting of that name in the plural, unless the experiment says otherwise.
    """
    found = {}
    for argument in metric:
        of_what = "activation" if argument == "over" else argument.removeprefix("over_")
        values = getattr(config, f"{of_what}s", None)
        if isinstance(values, tuple | list):
            found[argument] = Coordinate(values, f"{of_what}s")
    particular = dict(_asked(experiment, "coordinates", metric, config))
    found.update({argument: Coordinate(*where) for argument, where in particular.items()})
    return {argument: values for argument, values in found.items() if argument in metric}


def _asked(experiment: str, what: str, metric: Mapping[str, Any], config: Any) -> Iterable[Any]:
    """Ask an experiment's module, where it has something to say."""
    ask = getattr(get_experiment(experiment).module(), what, None)
    return ask(metric, config) if ask else ()
