"""Two coins: a study that another package registers."""

from pathlib import Path

from actbench import Experiment, Study

STUDY = Study(
    name="coins",
    title="A fair coin and a bent one",
    experiments=(
        Experiment(
            "coin-tosses",
            "two coins tossed many times, once per seed",
            place="coin_study.tosses",
            metrics=("coin_study.metrics",),
        ),
    ),
    claims=Path(__file__).with_name("claims.toml"),
    definitions={"heads": ("share of tosses that show heads", "1")},
)
