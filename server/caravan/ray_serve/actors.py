"""The actors of one application: found by name, and made by whoever looks first, whom they outlive."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from caravan.api.store import Limits
from caravan.ray_serve.archive import ArchiveActor, RemoteStore
from caravan.ray_serve.board import Board
from caravan.ray_serve.ledger import LedgerBook, RemoteLedger
from caravan.ray_serve.patience import Ask, patient

_NAMESPACE = "caravan"
# Readers wait for news in calls of their own.
_MOST_CALLS = 10_000


def board_of(deployment: str, app: str) -> Any:  # noqa: ANN401 (Ray's handles have no types)
    """The board of one model's deployment."""
    return _actor(Board, f"{app} board {deployment}")


def ledger_of(app: str) -> RemoteLedger:
    """The book of quotas."""
    ask = _asking(_actor(LedgerBook, f"{app} ledger"))
    return RemoteLedger(patient(ask, RayActorError), ask)


def archive_of(app: str, path: Path | None, limits: Limits) -> RemoteStore:
    """The store of responses, chats and conversations."""
    return RemoteStore(_asking(_actor(ArchiveActor, f"{app} archive", path, limits)), RayActorError, limits)


def _asking(actor: Any) -> Ask:  # noqa: ANN401 (Ray's handles have no types)
    def ask(name: str, *arguments: object) -> Awaitable[Any]:
        called: Awaitable[Any] = getattr(actor, name).remote(*arguments)
        return called

    return ask


def _actor(kind: type, name: str, *arguments: object) -> Any:  # noqa: ANN401
    options = {
        "name": name,
        "namespace": _NAMESPACE,
        "get_if_exists": True,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_concurrency": _MOST_CALLS,
    }
    return ray.remote(kind).options(**options).remote(*arguments)
