"""The command that measures an activation of one's own: try."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.options import (
    Device,
    Out,
    Overwrite,
    Quiet,
    Threads,
    interruptible,
)
from actbench.store import terminal
from actbench.store.errors import ActbenchError
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.catalog.initializers import KEYS as INITIALIZER_KEYS
from actbench.study.commands.reading import offered


def _complete_activation(incomplete: str) -> list[str]:
    known = (*ACTIVATIONS, *FURTHER, *offered("activation"))
    return [key for key in known if key.startswith(incomplete)]


def try_(
    activation: Annotated[
        str | None,
        typer.Argument(
            help="Your activation: path/to/file.py:name, module:name, or what a package offers; or "
            "a built-in one, such as selu. **A file runs as code.**",
            autocompletion=_complete_activation,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Also learn this function of yours, file.py:name; may be repeated. It takes and "
            "returns a NumPy array, on -pi to pi, and its file runs as code.",
        ),
    ] = None,
    initializer: Annotated[
        str,
        typer.Option(
            help=f"Start all training from one of {', '.join(INITIALIZER_KEYS)}, or one of yours, "
            "file.py:name, which draws an nn.Linear in place.",
        ),
    ] = "torch_default",
    out: Out = Path("results"),
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
    store_eight: Annotated[
        bool,
        typer.Option(
            "--store-eight",
            help="Instead, measure the eight anew and store them in baselines/card; takes about "
            "ten minutes on 2 cores.",
        ),
    ] = False,
) -> None:
    """Measure an activation of your own and print its card: where it wins, ties and loses.

    What you name is a function of a tensor, such as

    ```python
    def mine(x): return x * torch.tanh(torch.nn.functional.softplus(x))
    ```

    or a class or function without arguments that makes an nn.Module; its parameters are learned,
    one set per network and layer. The code that you name is run: try only files that you trust.

    The card has the derivative against finite differences, range and bounds, mean-field theory
    with a critical initialization, gradient flow at depth 50, the border of stability, capacity on
    six functions, and cost per epoch, beside the eight built-in activations, which were measured
    before by the same protocols. It takes about a minute on 2 cores, another one for each --target,
    and many with --initializer, as the eight must then be trained too.

    Example: actbench try my_activations.py:mine
    """
    with interruptible():
        from actbench.cli.console import progress_bar
        from actbench.study.own.battery import Battery, measure_eight

        screen = terminal.screen(quiet=quiet)
        bar = partial(progress_bar, terminal.screen(stderr=True, quiet=quiet))
        if store_eight:
            for path in measure_eight(bar, device, threads, out):
                screen.print(f"written: {path}")
            return
        if activation is None:
            raise ActbenchError(
                "there is nothing to try; name an activation, as in: actbench try "
                "my_activations.py:mine"
            )
        from actbench.study import own
        from actbench.study.card.page import write
        from actbench.study.card.text import show
        from actbench.study.own.loading import blaming_own_code

        battery = Battery(
            activation=own.activation(activation),
            out=out,
            bar=bar,
            initializer=own.initializer(initializer).key,
            targets=[own.target(given) for given in target or ()],
            device=device,
            threads=threads,
            overwrite=overwrite,
        )
        with blaming_own_code():
            made, derivatives, flows = battery.run()
        for part in show(made, screen.width):
            screen.print(part)
        for path in write(battery.folder, made, derivatives, flows):
            screen.print(f"  {path}", soft_wrap=True)
