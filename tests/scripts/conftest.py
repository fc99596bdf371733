"""`pytest tests/scripts --rewrite` writes the golden files anew; without it they are compared."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write the golden files of tests/scripts anew"
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written instead of compared."""
    # The option is unknown when pytest starts above this directory: then files are compared.
    return bool(request.config.getoption("--rewrite", default=False))
