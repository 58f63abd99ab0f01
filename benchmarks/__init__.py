"""How long training takes: ``pytest benchmarks``, and ``python -m benchmarks.peers``."""
