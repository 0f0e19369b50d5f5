"""Has the models' engines tell routers of their prefix caches."""

import asyncio
import socket
from functools import partial

from caravan.config.settings import Settings
from caravan.engine.block_events import chain_root
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.observability.kv_events.publisher import KvEventPublisher, KvEventsError, check_library
from caravan.web.startup_message import StartError


def check_events(settings: Settings) -> None:
    """Raise StartError where events are wanted and cannot be published."""
    if settings.kv_events is None and settings.kv_events_replay is not None:
        raise StartError("--kv-events-replay has nothing to replay without --kv-events")
    try:
        if settings.kv_events is not None:
            check_library()
    except KvEventsError as error:
        raise StartError(str(error)) from error


def publish_events(settings: Settings, registry: ModelRegistry) -> KvEventPublisher | None:
    """Publish what becomes of the caches of models that are loaded from now on, if that is wanted.

    Called on the event loop. Raises StartError.
    """
    if settings.kv_events is None:
        return None
    name = settings.kv_events_name or f"{socket.gethostname()}:{settings.port}"
    try:
        publisher = KvEventPublisher(settings.kv_events, settings.kv_events_replay, name)
    except KvEventsError as error:
        raise StartError(str(error)) from error
    loop = asyncio.get_running_loop()

    def subscribe(model: LoadedModel) -> None:
        # An engine that is closed says so, and its subscription ends with it.
        listener = publisher.listener(model.id, partial(_adapters_of, registry, model.id))
        model.engine.subscribe_blocks(listener, chain_root(model.fingerprint))

    def begin(model: LoadedModel) -> None:
        loop.call_soon_threadsafe(subscribe, model)

    registry.add_check(begin)
    return publisher


def _adapters_of(registry: ModelRegistry, model_id: str) -> tuple[str, ...]:
    model = registry.loaded(model_id)
    return () if model is None else model.adapters
