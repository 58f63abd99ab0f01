"""Settings of the study's training that several fingerprints share."""

from __future__ import annotations

POINTS = 200
WIDTH = 64
LEARNING_RATE = 1e-3
