"""Sweeps: grids of members, trained chunk by chunk, here or on a cluster, into one store."""
