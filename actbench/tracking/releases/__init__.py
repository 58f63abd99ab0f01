"""Releases of torch, each measured in an environment of its own, and which of them changed what."""
