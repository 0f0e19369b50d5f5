"""A Ray cluster on this machine alone, with what a file for Ray Serve describes, until it is told to end."""

import importlib
import math
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from pydantic import ValidationError

from caravan.config.load import ConfigurationError
from caravan.models import CatalogError
from caravan.ray_serve.options import RayOptions
from caravan.runtime import signals

# What crosses between processes: frames, prompts, and what encoders make of images, some 9 MB of each. What
# finds no room in the store, Ray puts on the disk.
_STORE_BYTES = 100_000_000
_DEFAULT: dict[str, Any] = {
    "applications": [{"name": "caravan", "import_path": "caravan.ray_serve.app:build"}]
}
# For Ray's own actors, which want a part of one.
_OTHER_CPUS = 1
# Read where Ray is imported. It is to tell nobody that it was used, and how much work waits in time.
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
}


class FileError(Exception):
    """The file cannot be used; the message is one line for each fault."""


def read_file(path: Path | None) -> dict[str, Any]:
    """What a file for `serve deploy` says; without one, the resident model alone. Raises FileError."""
    if path is None:
        return _DEFAULT
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("applications"), list):
        raise FileError(f"{path}: this is no file for Ray Serve: it has no list of 'applications'")
    return document


def check(document: Mapping[str, Any]) -> list[RayOptions]:
    """The options of each application of ours. Raises FileError."""
    found: list[RayOptions] = []
    for application in document["applications"]:
        name = application.get("name", "default")
        try:
            options = RayOptions.model_validate(application.get("args") or {})
            options.server_settings()
        except ValidationError as error:
            faults = error.errors(include_url=False)
            lines = (f"{name}: args.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
            raise FileError("\n".join(lines)) from error
        except ConfigurationError as error:
            raise FileError(
                "\n".join(f"{name}: args.settings: {line}" for line in str(error).splitlines())
            ) from error
        found.append(options)
    return found


def serve_file(path: Path | None) -> None:
    """Start a cluster and serve until SIGINT, SIGTERM, SIGHUP or SIGQUIT. Raises FileError."""
    document = read_file(path)
    all_options = check(document)
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    with LocalCluster(document, all_options) as cluster:
        print(f"Caravan on Ray Serve is ready: {cluster.address}/v1", flush=True)
        cluster.wait()


class LocalCluster:
    """A cluster with the applications of a document, as a context manager."""

    def __init__(self, document: Mapping[str, Any], all_options: list[RayOptions]) -> None:
        self._document = document
        self._options = all_options
        http = document.get("http_options") or {}
        self._http = {"host": "127.0.0.1", "port": 8000, **http}
        self._is_over = threading.Event()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{self._http['host']}:{self._http['port']}"

    def wait(self) -> None:
        """Wait until a signal comes."""
        for number in signals.ending():
            signal.signal(number, self._end)
        while not self._is_over.wait(1.0):
            pass

    def __enter__(self) -> "LocalCluster":
        import ray
        from ray import serve

        ray.init(
            address="local",
            num_cpus=self._num_cpus(),
            object_store_memory=_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=True,
            _node_ip_address="127.0.0.1",
        )
        try:
            serve.start(proxy_location="HeadOnly", http_options=self._http)
            for application in self._document["applications"]:
                self._run(application)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        import ray
        from ray import serve

        serve.shutdown()
        ray.shutdown()

    def _run(self, application: Mapping[str, Any]) -> None:
        from ray import serve

        module, _, name = application["import_path"].partition(":")
        build = getattr(importlib.import_module(module), name)
        called = application.get("name", "default")
        try:
            serve.run(
                build(application.get("args") or {}),
                name=called,
                route_prefix=application.get("route_prefix", "/"),
            )
        except RuntimeError as error:
            # Ray's own words, the last of which are what a process of ours has said.
            raise FileError(f"{called} could not be deployed: {error}") from error

    def _num_cpus(self) -> int:
        """As many processors as are reserved, whether or not the machine has them: engines share. Raises
        FileError.
        """
        from caravan.ray_serve.app import engine_configs

        total = 0.0
        for options in self._options:
            try:
                num_models = len(engine_configs(options.server_settings()))
            except CatalogError as error:
                raise FileError(str(error)) from error
            total += options.ingresses + num_models * options.most_replicas * options.replica_cpus
        return _OTHER_CPUS + math.ceil(total)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._is_over.set()
