"""The exceptions that a user's mistake raises, and how their texts are made."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Integral
from types import MappingProxyType
from typing import Final

DISTRIBUTION: Final = "actbench-claims"
"""The name under which pip installs this package; on the public index `actbench` is another's."""

EXTRAS: Final = MappingProxyType(
    {
        "study": ("torch", "xarray", "matplotlib", "PIL", "threadpoolctl"),
        "scale": ("zarr", "distributed", "dask"),
        "parquet": ("pyarrow",),
    }
)
"""What the core does without, as it is imported, by the extra that brings it."""

_LONGEST_REASON = 300
_MOST_NAMES = 40


class ActbenchError(ValueError):
    """A mistake in what was asked: says what was given, what was expected, what to do.

    The command line prints its text as one line and exits with code 2.
    """


class OtherSchemaError(ActbenchError):
    """A file is whole, but of another version of its schema: it is kept, not replaced."""


class MissingPackageError(ModuleNotFoundError, ActbenchError):
    """A package is not installed that only an extra brings: says what needs it and what to do."""


def packages_missing(extra: str) -> list[str]:
    """Name the packages of an extra that are not installed. Loads none of them."""
    return [name for name in EXTRAS[extra] if find_spec(name) is None]


def missing(package: str, what: str) -> MissingPackageError:
    """Build the error for a package of an extra that something needs."""
    extra = next(extra for extra, packages in EXTRAS.items() if package in packages)
    return MissingPackageError(
        f"{what} needs {package}, which is not installed. Run: pip install "
        f'"{DISTRIBUTION}[{extra}]"',
        name=package,
    )


def require_extra(extra: str, what: str) -> None:
    """Refuse what needs an extra of which a package is not installed."""
    for package in packages_missing(extra):
        raise missing(package, what)


@contextmanager
def needing_extras(what: str) -> Iterator[None]:
    """Say what was done where it turns out that a package of an extra is not installed."""
    try:
        yield
    except MissingPackageError:
        raise
    except ModuleNotFoundError as error:
        if not of_an_extra(error):
            raise
        raise missing(_package(error), what) from error


def of_an_extra(error: BaseException) -> bool:
    """Tell whether an error is that a package of an extra is not installed."""
    return isinstance(error, ModuleNotFoundError) and any(
        _package(error) in packages for packages in EXTRAS.values()
    )


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def require_schema(path: object, found: object, supported: int, remedy: str) -> None:
    """Refuse a file of another version of its schema."""
    if not isinstance(found, int | Integral):
        raise ActbenchError(f"{path} states no schema version. {remedy}")
    if found != supported:
        raise OtherSchemaError(
            f"{path} has schema version {found}, but this actbench reads version {supported}. "
            f"{'Update actbench' if int(found) > supported else remedy}"
        )


def unknown_name(kind: str, given: object, known: Iterable[str]) -> ActbenchError:
    """Build the error for a name that is not in a registry."""
    names = list(known)
    near = get_close_matches(str(given).lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ActbenchError(f"unknown {kind} {given!r}; known: {listed}{more}.{hint}")


def require_positive_int(name: str, value: object) -> int:
    """Return a whole number of at least 1, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ActbenchError(f"{name} is {value!r}, but must be a whole number of at least 1")
    return value


def one_line(error: Exception) -> str:
    """Name an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
