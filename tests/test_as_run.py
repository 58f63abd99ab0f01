"""The network that the study ran: a plain script, and the protocol that says the same as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import as_run_script
import numpy as np
import pytest
import torch
from calls import printed

from actbench import claims
from actbench.runs import evidence
from actbench.store import datasets, environment
from actbench.store.errors import ActbenchError
from actbench.study.experiments import sine_regression, training_dynamics
from actbench.study.experiments.sine_regression.findings import other_than_stated, protocol_of_run
from actbench.study.nets.networks import linear_layers

SCRIPT = Path(as_run_script.__file__)
PUBLISHED_GRADIENTS = {2: 4.0098e-4, 3: 4.0037e-4, 4: 3.6986e-4}
"""Of the linear network after one update, by layer, in the study's own file."""
PUBLISHED_LOSSES = {"linear": 0.213001385, "sigmoid": 0.518152952}
ORDER = tuple(as_run_script.ACTIVATIONS)


@pytest.fixture(scope="module")
def config() -> sine_regression.Config:
    """The protocol of the claims file, for two seeds and two epochs."""
    protocol = claims.published().protocol["as-run"]
    settings = {**protocol.settings, "epochs": 2}
    short = protocol.model_copy(update={"settings": settings, "seeds": 2})
    built: sine_regression.Config = evidence.config_for(short, 2, "cpu", 1)
    return built


def crew(order: tuple[str, ...], key: str, seed: int = 42) -> list[torch.Tensor]:
    """Parameters of one network of the study's own depth."""
    config = sine_regression.Config([key], seeds=[seed], depth=11, drawn_in_order=order)
    (member,) = config.members(key)
    return [p.detach() for p in member.network(config.architecture(key)).parameters()]


def test_the_script_gives_the_studys_gradients_to_five_digits() -> None:
    """After one update, which leaves rounding no room; a layer less or more moves each by a lot."""
    with torch.random.fork_rng(devices=[]):
        _, gradients = as_run_script.train(as_run_script.networks()["linear"], 2)
    for layer, published in PUBLISHED_GRADIENTS.items():
        assert float(f"{gradients[layer - 1]:.4e}") == published


def _intel() -> bool:
    return "intel" in environment.cpu_model().lower()


@pytest.mark.skipif(not _intel(), reason="the last digits are an Intel processor's")
def test_the_script_gives_the_studys_losses_to_seven_digits() -> None:
    """With the instructions and the mode of MKL that round as the study's machine did."""
    told = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2,STRICT"}
    losses = json.loads(printed(SCRIPT, "500", *PUBLISHED_LOSSES, variables=told))
    for key, published in PUBLISHED_LOSSES.items():
        assert f"{losses[key]:.7f}" == f"{published:.7f}"


@pytest.mark.parametrize("key", ORDER)
def test_the_protocol_draws_the_scripts_networks(key: str) -> None:
    """Bit for bit, the last one behind four others; torch's own stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        scripts = list(as_run_script.networks()[key].parameters())
    before = torch.random.get_rng_state()
    ours = crew(ORDER, key)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(ours, scripts, strict=True))


def test_only_the_first_network_knows_nothing_of_the_order() -> None:
    """What is drawn first is the same with and without a running state, and nothing else is."""
    assert torch.equal(crew(ORDER, "linear")[0], crew((), "linear")[0])
    for key in ORDER[1:]:
        assert not torch.equal(crew(ORDER, key)[0], crew((), key)[0])
    assert not torch.equal(crew(ORDER, "sigmoid", 43)[0], crew(ORDER, "sigmoid")[0])


@pytest.mark.parametrize("module", [sine_regression, training_dynamics])
def test_a_network_keeps_its_place_where_fewer_are_trained(module: Any) -> None:
    """The order says what is drawn, the activations what is trained."""
    small = {"seeds": [7, 42], "epochs": 2, "depth": 2, "width": 4, "device": "cpu", "threads": 1}
    two = ["sigmoid", "gelu"]
    alone = module.run(module.Config(activations="gelu", drawn_in_order=two, **small))
    both = module.run(module.Config(activations=two, drawn_in_order=two, **small))
    reset = module.run(module.Config(activations="gelu", **small))
    for dataset, same in ((both, True), (reset, False)):
        loss = dataset["loss"].sel(activation="gelu")
        assert np.array_equal(loss, alone["loss"].sel(activation="gelu")) == same


def test_the_protocol_says_where_the_random_state_stands(config: sine_regression.Config) -> None:
    """In one sentence, which a run of the same settings is recognized by."""
    dataset = sine_regression.run(config)
    stated = datasets.protocol_of(dataset)["random_state"]
    assert stated == (
        "set to the member's seed once, then running on through linear, sigmoid, relu, "
        "leaky_relu, gelu"
    )
    assert protocol_of_run(dataset) == "as-run"
    assert other_than_stated(dataset) == "epochs 2 instead of 500"
    one = dataset.sel(activation="linear", seed=42, recorded_epoch=1)["gradient_magnitude"]
    for layer, published in PUBLISHED_GRADIENTS.items():
        assert one.sel(layer=layer).item() == pytest.approx(published, abs=5e-9)


def test_an_order_must_hold_all_that_is_trained() -> None:
    """A network without a place in the order can't be drawn."""
    with pytest.raises(ActbenchError) as caught:
        sine_regression.Config(activations=["relu", "tanh"], drawn_in_order=["linear", "relu"])
    assert str(caught.value) == (
        "activations name 'tanh', but drawn_in_order is ['linear', 'relu']; name it there too, "
        "where its network is drawn, or leave it out of the activations"
    )


def test_layers_are_eleven() -> None:
    """The script's networks have a layer more than the card's: 41,793 parameters."""
    with torch.random.fork_rng(devices=[]):
        network = as_run_script.networks()["relu"]
    assert sum(p.numel() for p in network.parameters()) == 41_793
    assert len(linear_layers(network)) == 12
