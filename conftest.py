"""What concerns the tests of this repository only."""

from hypothesis import settings

# The same examples in every run: a test that fails must fail again.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")
