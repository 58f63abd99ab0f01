"""What ``--actbench-claims`` and ``--actbench-activation`` name, collected by no project's rules.

Neither a project's ini (``python_functions``, ``testpaths``) nor the ``conftest.py`` files around
what is named have a say, and nothing is parsed as a path that is one already.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actbench.pytest_plugin.activation import ActivationNode
from actbench.pytest_plugin.claims_files import ClaimsNode, check_file
from actbench.pytest_plugin.options import value_of


class Asked:
    """A plugin that adds what was named to what is collected anyway.

    Its ids may be given as arguments, as for any test: as they are printed, seen from the current
    folder, or from another one.

    Raises:
        pytest.UsageError: A claims file can't be read, or has a mistake.
    """

    def __init__(self, config: pytest.Config) -> None:
        here = config.invocation_params.dir
        claims = [(here / path).resolve() for path in value_of(config, "claims")]
        self._nodes: dict[Path, type[pytest.File]] = dict.fromkeys(claims, ClaimsNode)
        for given in value_of(config, "activation"):
            self._nodes[ActivationNode.address(config, given)] = ActivationNode
        if not hasattr(config, "workerinput"):  # once is enough
            for path in claims:
                check_file(config, path)
        self._chosen: dict[Path, dict[str, str]] = {}
        self._folders = (here, config.rootpath)
        others = [argument for argument in config.args if not self._chooses(argument)]
        if config.args_source is pytest.Config.ArgsSource.ARGS:
            config.args[:] = others
        elif claims:
            config.args[:] = []

    def _chooses(self, argument: str) -> bool:
        """Take an argument that names one of the nodes, or a test of one."""
        place, _, test = argument.rpartition("::")
        for reading, name in ((argument, ""), (place, test)):
            for node in self._nodes:
                same = node in [(folder / reading).resolve() for folder in self._folders]
                if reading and (same or node.as_posix().endswith(f"/{reading}")):
                    self._chosen.setdefault(node, {})[name] = argument
                    return True
        return False

    @pytest.hookimpl(wrapper=True)  # so that -k and -m, and every plugin, choose among these too
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Iterator[None]:
        """Add the tests of every node."""
        root = session.config.rootpath
        for path, kind in self._nodes.items():
            inside = path.is_relative_to(root)
            nodeid = (path.relative_to(root) if inside else path).as_posix()
            node = kind.from_parent(session, path=path, nodeid=nodeid)
            found = list(session.genitems(node))
            wanted = self._chosen.get(path, {"": ""})
            for name in wanted.keys() - {"", *(form for item in found for form in _forms(item))}:
                raise pytest.UsageError(
                    f"not found: {wanted[name]}; {path.name} has {', '.join(i.name for i in found)}"
                )
            items += [i for i in found if "" in wanted or wanted.keys() & _forms(i)]
        return (yield)


def _forms(item: pytest.Item) -> set[str]:
    return {item.name, item.name.partition("[")[0]}  # on every device, too
