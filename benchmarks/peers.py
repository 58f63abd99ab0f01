"""The same trainings by several engines, interleaved in one run: ``python -m benchmarks.peers``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__" and not __package__:  # python benchmarks/peers.py
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.work import ACTIVATIONS, PEERS, Peer, Work


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Time the same trainings by several engines, interleaved, check that they "
        "reach the same losses, and print a table per activation.",
    )
    parser.add_argument(
        "--activation",
        action="append",
        choices=ACTIVATIONS,
        help="may be given several times (default: relu)",
    )
    parser.add_argument("--all", action="store_true", help=f"the same as {', '.join(ACTIVATIONS)}")
    parser.add_argument("--members", type=int, default=20, help="networks (default: 20)")
    parser.add_argument(
        "--epochs",
        type=int,
        default=500,
        help="updates of each (default: 500); with --plot, of up to 20 members, and of more "
        "members fewer in proportion",
    )
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each (default: 3)")
    parser.add_argument(
        "--threads", type=int, help="CPU threads of each engine (default: one per physical core)"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[peer.key for peer in PEERS],
        help="leave out an engine; may be given several times",
    )
    what = parser.add_argument_group("instead of, or beside, the table")
    what.add_argument(
        "--cold",
        action="store_true",
        help="also time a fresh process per engine: start, imports, compilation, all members",
    )
    what.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw time per training against 1 to 1000 members into a PNG file; of several "
        "activations each but the first goes into one named after it beside that",
    )
    what.add_argument(
        "--most-members",
        type=int,
        default=1000,
        help="with --plot, the largest number of members (default: 1000)",
    )
    what.add_argument(
        "--profile",
        action="store_true",
        help="show where an epoch of the stack goes, by operation, on one thread",
    )
    inner = parser.add_argument_group("what --cold runs in each process; prints the losses")
    inner.add_argument("--one", choices=[peer.key for peer in PEERS], metavar="ENGINE")
    inner.add_argument("--variant", help="one that the engine offers, such as '1 thread'")
    inner.add_argument("--weights", type=Path, help="initial weights, for JAX")
    return parser


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(given)
    for name in ("members", "epochs", "rounds", "threads", "most_members"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            parser.error(f"--{option} is {value}, but must be at least 1")
    if arguments.plot is not None and arguments.plot.suffix != ".png":
        parser.error(f"--plot is {str(arguments.plot)!r}, but must end in .png")
    if arguments.plot is not None and arguments.cold:
        parser.error("--cold adds to the table, which --plot does not print; give one of them")
    if arguments.one and not arguments.variant:
        parser.error("--one needs --variant")
    return arguments


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _plot(peers: Sequence[Peer], activation: str, arguments: argparse.Namespace) -> None:
    from benchmarks import scaling

    counts = [n for n in scaling.COUNTS if n <= arguments.most_members]
    found = scaling.measure(
        peers, activation, counts, arguments.epochs, arguments.threads, arguments.rounds, _say
    )
    print("\n".join(scaling.markdown(found)))
    path = arguments.plot
    figure = scaling.draw(found, tuple(peer.name for peer in PEERS))
    if activation != arguments.activation[0]:
        path = path.with_stem(f"{path.stem}-{activation}")
    scaling.save(figure, path)
    print(f"\nDrawn in {path}\n")


def _profile(activations: Sequence[str], arguments: argparse.Namespace) -> None:
    from benchmarks import profiling

    for activation in activations:
        found = profiling.profile_epoch(activation, arguments.rounds)
        print("\n".join(profiling.markdown(found)), end="\n\n")
    print(profiling.compared_with_xla(arguments.rounds))


def main(given: Sequence[str] | None = None) -> int:
    """Time the engines and print a table per activation, or what else is asked for."""
    arguments = _arguments(given)
    arguments.activation = ACTIVATIONS if arguments.all else arguments.activation or ["relu"]
    works = [
        Work(a, arguments.members, arguments.epochs, arguments.weights)
        for a in arguments.activation
    ]
    if arguments.one:
        from benchmarks.interleaving import run_one

        run_one(arguments.one, arguments.variant, works[0], arguments.threads or 1)
        return 0

    from actbench.study.nets import devices
    from benchmarks.peer_table import Settings, compare

    peers = [peer for peer in PEERS if peer.key not in arguments.without]
    wrong = []
    with devices.using_threads(arguments.threads) as arguments.threads:
        if arguments.profile:
            _profile(arguments.activation, arguments)
            return 0
        for work in works:
            if arguments.plot:
                _plot(peers, work.activation, arguments)
            else:
                settings = Settings(arguments.threads, arguments.rounds, arguments.cold)
                wrong += compare(peers, work, settings, _say)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
