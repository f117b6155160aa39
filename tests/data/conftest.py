"""Fixtures: real stores with the environment and the configuration of the rendered stack."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.data.postgres.server import PostgresServer, started


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Store]]:
    """Starts MinIO servers with the variables of the rendered container."""
    with contextlib.ExitStack() as stack:

        def make() -> Store:
            folder = tmp_path_factory.mktemp("minio")
            return stack.enter_context(serving(folder, server_variables(folder)))

        yield make


@pytest.fixture(scope="session")
def store(make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A MinIO server that the provisioning script has set up."""
    made = make_store()
    result = provision(made, tmp_path_factory.mktemp("provisioning"))
    assert result.code == 0, result.output
    return made


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Postgres with the rendered configuration, and with the role and database that the script creates."""
    with started(tmp_path_factory.mktemp("postgres")) as server:
        yield server
