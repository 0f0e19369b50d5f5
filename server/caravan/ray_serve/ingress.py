"""The deployment of the web side: the server's own application, whose engines are replicas elsewhere."""

import dataclasses
from collections.abc import Mapping
from functools import partial

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import Message, Receive, Scope, Send

from caravan.config.settings import Settings
from caravan.models import ModelRegistry, ModelSpec, model_specs
from caravan.models.projectors import EncoderStarter
from caravan.observability import log_format
from caravan.observability.tracing import open_tracing
from caravan.ray_serve.actors import archive_of, ledger_of
from caravan.ray_serve.remote_engine import RemoteEngine
from caravan.ray_serve.request_ids import RequestIds
from caravan.ray_serve.transport import HandleReplicas
from caravan.runtime.threads import in_thread
from caravan.web.app import create_app
from caravan.web.dependencies import Services
from caravan.web.services import archive_limits, open_stores
from caravan.web.startup_checks import count_keys


class IngressApp:
    """The application (ASGI), which loads its models when it starts: vocabularies and encoders, that is."""

    def __init__(
        self,
        settings: Settings,
        engines: Mapping[str, DeploymentHandle],
        roots: Mapping[str, bytes],
        has_batches: bool,
    ) -> None:
        self._settings = settings
        count_keys(settings)
        name = serve.get_replica_context().app_name
        specs = [_remote(spec, engines[spec.id], roots[spec.id]) for spec in model_specs(settings)]
        self._registry = ModelRegistry(specs, load_wait_seconds=settings.load_wait_seconds)
        self._ledger = ledger_of(name)
        archive = archive_of(name, settings.responses_path, archive_limits(settings))
        self._tracing = open_tracing(settings.otlp_endpoint)
        self._app = create_app(
            settings,
            self._registry,
            self._tracing,
            ledger=self._ledger,
            archive=archive,
            has_batches=has_batches,
        )
        self._served = RequestIds(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what comes (ASGI); at the start, load the models."""
        if scope["type"] == "lifespan":
            receive = self._in_order(receive)
        await self._served(scope, receive, send)

    def _in_order(self, receive: Receive) -> Receive:
        """What the application hears of its life, after what has to be done before."""

        async def next_message() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                services: Services = self._app.state.services
                await open_stores(services, self._settings)
                await self._registry.start()
            else:
                await self._ledger.aclose()
                if self._tracing is not None:
                    await in_thread(self._tracing.close)
            return message

        return next_message


def _remote(spec: ModelSpec, handle: DeploymentHandle, root: bytes) -> ModelSpec:
    """A model whose engines are elsewhere; its vocabulary and its encoder are always there."""
    make_engine = partial(RemoteEngine, HandleReplicas(handle), root)
    starter = spec.start_encoder
    if isinstance(starter, EncoderStarter):
        # Ray hides no GPU from an actor that has reserved none: it may be a replica's.
        starter = starter.without_gpu()
    return dataclasses.replace(
        spec, make_engine=make_engine, start_encoder=starter, preload=True, pinned=True
    )


@serve.ingress()
class Ingress:
    """What Ray makes in each process of the web side."""

    def __init__(
        self,
        settings: Settings,
        engines: dict[str, DeploymentHandle],
        roots: dict[str, bytes],
        has_batches: bool,
    ) -> None:
        log_format.configure(settings.log_level, settings.log_format)
        self._known = settings, engines, roots, has_batches

    def __serve_build_asgi_app__(self) -> IngressApp:
        """The application; Ray asks for it once."""
        return IngressApp(*self._known)
