"""The application for Ray Serve: `import_path: caravan.ray_serve.app:build` of a file for `serve deploy`."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig
from ray.serve.deployment import Application

from caravan.config.engine_config import EngineConfig
from caravan.config.settings import Settings
from caravan.engine.block_events import chain_root
from caravan.llama import library
from caravan.models import model_specs
from caravan.ray_serve.ingress import Ingress
from caravan.ray_serve.options import RayOptions
from caravan.ray_serve.replica import EngineReplica
from caravan.version import version

# Engines have queues of their own, where owners have their shares; Ray is to hold back nothing.
_MOST_CALLS = 100_000
_ROUTERS = {
    "prefix": "caravan.ray_serve.router:PrefixRouter",
    "round_robin": "ray.serve.experimental.round_robin_router:RoundRobinRouter",
}


def build(args: Mapping[str, Any]) -> Application:
    """The deployments that the `args` of an application come to.

    Raises ValidationError, ConfigurationError and CatalogError over options.
    """
    options = RayOptions.model_validate(dict(args))
    settings = options.server_settings()
    configs = engine_configs(settings)
    roots = {name: root_of(name, config) for name, config in configs.items()}
    engines = {
        name: serve.deployment(EngineReplica)
        .options(name=deployment_name(index, name), **_engine_options(options))
        .bind(msgspec.msgpack.encode(config), roots[name])
        for index, (name, config) in enumerate(configs.items())
    }
    ingress = serve.deployment(Ingress).options(
        name="ingress",
        num_replicas=options.ingresses,
        max_ongoing_requests=_MOST_CALLS,
        ray_actor_options={"num_cpus": 0.1},
        graceful_shutdown_timeout_s=settings.shutdown_seconds,
    )
    # Several web sides have files and batches in common where somebody says which folder all of them have.
    has_batches = options.ingresses == 1 or settings.batches_dir is not None
    application: Application = ingress.bind(settings, engines, roots, has_batches)
    return application


def engine_configs(settings: Settings) -> dict[str, EngineConfig]:
    """What the engine of each model is told, by the model's name. Raises CatalogError."""
    found: dict[str, EngineConfig] = {}
    for spec in model_specs(settings, lambda config: config):  # type: ignore[arg-type, return-value]
        config = spec.make_engine()
        assert isinstance(config, EngineConfig)
        found[spec.id] = msgspec.structs.replace(config, is_encoder_elsewhere=True)
    return found


def root_of(name: str, config: EngineConfig) -> bytes:
    """The root of a model's hashes: by its name and all that decides on what its cells hold."""
    return chain_root("\n".join((name, library.build(), version(), msgspec.json.encode(config).decode())))


def deployment_name(index: int, name: str) -> str:
    """A deployment's name, which paths and metrics have in them."""
    return f"model-{index}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}"


def _engine_options(options: RayOptions) -> dict[str, Any]:
    number: dict[str, Any] = {"num_replicas": options.min_replicas}
    if options.most_replicas > options.min_replicas:
        number = {"autoscaling_config": _autoscaling(options)}
    routing: dict[str, Any] = {}
    if options.router == "prefix":
        kwargs = {"decode_weight": options.decode_weight}
        routing["request_router_config"] = RequestRouterConfig(
            request_router_class=_ROUTERS["prefix"], request_router_kwargs=kwargs
        )
    elif options.router == "round_robin":
        routing["request_router_config"] = RequestRouterConfig(request_router_class=_ROUTERS["round_robin"])
    return {
        **number,
        **routing,
        "max_ongoing_requests": _MOST_CALLS,
        "graceful_shutdown_timeout_s": options.drain_seconds,
        "health_check_period_s": 5,
        "ray_actor_options": {"num_cpus": options.replica_cpus, "num_gpus": options.replica_gpus},
    }


def _autoscaling(options: RayOptions) -> AutoscalingConfig:
    return AutoscalingConfig(
        min_replicas=options.min_replicas,
        max_replicas=options.most_replicas,
        upscale_delay_s=options.upscale_seconds,
        downscale_delay_s=options.downscale_seconds,
        look_back_period_s=2.0,
        policy=AutoscalingPolicy(
            policy_function="caravan.ray_serve.scaling:ByWork",
            policy_kwargs={"first_token_seconds": options.first_token_seconds},
        ),
    )
