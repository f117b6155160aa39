"""Fixtures: real stores that run with the environment and the configuration of the rendered stack."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.data.postgres_server import PostgresServer, started
from tests.data.provisioning import Store, provision, server_variables, serving


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Store]]:
    """Start MinIO with the variables of the rendered pod."""
    with contextlib.ExitStack() as stack:

        def make() -> Store:
            folder = tmp_path_factory.mktemp("minio")
            return stack.enter_context(serving(folder, server_variables(folder)))

        yield make


@pytest.fixture(scope="session")
def store(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A MinIO server that the shipped script has provisioned."""
    made = make_store()
    result = provision(made, tmp_path_factory.mktemp("wanted"))
    assert result.code == 0, result.output
    return made


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Postgres with the shipped configuration; the shipped script has made role and database."""
    with started(tmp_path_factory.mktemp("postgres")) as server:
        yield server
