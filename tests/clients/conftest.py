"""The cluster that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.cluster import Cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One master and one agent, for tests that leave them as they found them."""
    with Cluster(tmp_path_factory.mktemp("clients"), agents=1) as running:
        yield running
