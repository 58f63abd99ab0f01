"""pytest options and fixtures that turn every claim of a study into a test.

Loaded by pytest through an entry point, so it imports nothing heavy until a test asks for it.
"""

from actbench.pytest_plugin.claims_files import (
    ClaimsModule,
    claims_of,
    pytest_collect_file,
    pytest_configure,
)
from actbench.pytest_plugin.fixtures import claims_file, judgment, protocol_dataset, training_device
from actbench.pytest_plugin.options import devices_of, pytest_addoption
from actbench.pytest_plugin.outcomes import NotReproduced, check_expected
from actbench.pytest_plugin.parametrizing import pytest_generate_tests
from actbench.pytest_plugin.summary import pytest_terminal_summary

__all__ = [
    "ClaimsModule",
    "NotReproduced",
    "check_expected",
    "claims_file",
    "claims_of",
    "devices_of",
    "judgment",
    "protocol_dataset",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_terminal_summary",
    "training_device",
]

pytest_plugins = ["actbench.pytest_plugin.activation"]  # --activation
