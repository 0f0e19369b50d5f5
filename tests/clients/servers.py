"""The server that clients talk to: `caravan serve`, or with `--ray` the same on a cluster of this machine."""

import json
import socket
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.faults.process import ServerProcess, server_process

# Starts a server with options by their names in its TOML file.
Serve = Callable[..., AbstractContextManager[ServerProcess]]


def starter(folder: Path, *, by_ray: bool) -> Serve:
    """What starts servers; `folder` is for the files that describe them."""

    @contextmanager
    def serve(**settings: str | int) -> Generator[ServerProcess]:
        verb, options = (
            ["serve", "--port", "0"],
            [
                text
                for name, value in settings.items()
                for text in (f"--{name.replace('_', '-')}", str(value))
            ],
        )
        if by_ray:
            file = folder / "serve.yaml"
            file.write_text(json.dumps(_document(settings)))
            verb, options = ["ray-serve"], ["--config", str(file)]
        with server_process(*options, verb=verb) as server:
            yield server
            assert server.stop() == 0, server.output

    return serve


def _document(settings: dict[str, str | int]) -> dict[str, object]:
    """A file for Ray Serve, which is YAML; so is JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    application = {
        "name": "clients",
        "import_path": "caravan.ray_serve.app:build",
        "args": {"min_replicas": 2, "replica_cpus": 0.1, "settings": settings},
    }
    return {"http_options": {"host": "127.0.0.1", "port": port}, "applications": [application]}
