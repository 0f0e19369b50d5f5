"""A Ray cluster on this machine, and our application on it. The server alone, to compare with."""

import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from caravan.ray_serve.local import VARIABLES

# Read where Ray is imported.
os.environ.update(VARIABLES)

import pytest
import ray
from caravan.config.load import read_configuration
from caravan.models import registry_of
from caravan.ray_serve.actors import board_of
from caravan.ray_serve.app import build, deployment_name
from caravan.ray_serve.wire import Load
from ray import serve

from tests.conftest import TinyModels
from tests.live_server import live_server

APP = "tests"
MODEL = "tiny"
CONTEXT = 2048


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the cluster of this session listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(
        address="local",
        num_cpus=16,
        object_store_memory=100_000_000,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


class Cluster:
    """Our application, as it is deployed."""

    def __init__(self, address: str) -> None:
        self.address = address

    def loads(self) -> list[Load]:
        """What each replica has to do, by the board."""
        board = board_of(deployment_name(0, MODEL), APP)
        loads: list[Load] = ray.get(board.loads.remote())
        return loads


class Deploy:
    """Deploys our application. One with the same options is there already, if it was the last."""

    def __init__(self, address: str, settings: dict[str, Any]) -> None:
        self._cluster = Cluster(address)
        self._settings = settings
        self._deployed: dict[str, Any] | None = None

    def __call__(self, more: Mapping[str, Any] | None = None, **options: Any) -> Cluster:  # noqa: ANN401
        given = {"replica_cpus": 0.1, "settings": {**self._settings, **(more or {})}, **options}
        if given != self._deployed:
            self.delete()
            serve.run(build(given), name=APP, route_prefix="/")
            self._deployed = given
        return self._cluster

    def delete(self) -> None:
        """Leave nothing of it."""
        if self._deployed is not None:
            serve.delete(APP)
            ray.kill(board_of(deployment_name(0, MODEL), APP))
            self._deployed = None


@pytest.fixture(scope="session")
def settings(tiny_models: TinyModels) -> dict[str, Any]:
    """Options of the server, those of the one alone and of the one on Ray."""
    return {
        "model": str(tiny_models["llama"]),
        "model_id": MODEL,
        "context_size": CONTEXT,
        "kv_cache_tokens": 4 * CONTEXT,
        "max_running": 32,
        "threads": 1,
        "page": False,
        "responses_db": "memory",
        "log_level": "warning",
    }


@pytest.fixture(scope="session")
def deploy(address: str, settings: dict[str, Any]) -> Iterator[Deploy]:
    deployer = Deploy(address, settings)
    yield deployer
    deployer.delete()


@pytest.fixture(scope="session")
def alone(settings: dict[str, Any]) -> Iterator[str]:
    """The same server without Ray."""
    configured = read_configuration(settings).settings
    with live_server(registry_of(configured), configured) as found:
        yield found
