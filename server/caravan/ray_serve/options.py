"""The options of a deployment on Ray, beside those of the server itself: the `args` of an application."""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from caravan.config.load import ConfigurationError, read_configuration
from caravan.config.settings import Settings

RouterName = Literal["prefix", "round_robin", "power_of_two"]

# Options of a server that listens, loads and tells by itself, and who does that here.
_OTHERS = {
    "Ray's proxy has the connections": (
        *("port", "tls_certificate", "tls_key", "max_connections", "idle_seconds"),
        *("max_header_bytes", "head_seconds", "write_seconds"),
    ),
    "each model has machines of its own": ("max_loaded", "model_stay_seconds"),
    "each engine tells the router by itself": ("kv_events", "kv_events_replay", "kv_events_name"),
}


class RayOptions(BaseModel):
    """What the key `args` of an application in a file for Ray Serve says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Any] = Field(
        default={},
        description="Options of `caravan serve` by their names in its TOML file. Paths are those "
        "of the cluster's machines, each of which needs the models.",
    )
    ingresses: PositiveInt = Field(default=1, description="Web sides, each in a process of its own.")
    min_replicas: PositiveInt = Field(default=1, description="Fewest engines of each model.")
    max_replicas: PositiveInt | None = Field(
        default=None, description="Most engines of each model. Default: as many as `min_replicas`."
    )
    replica_cpus: NonNegativeFloat = Field(
        default=1.0, description="Processors that Ray reserves for an engine; `threads` is how many it uses."
    )
    replica_gpus: NonNegativeFloat = Field(default=0.0, description="GPUs that Ray reserves for an engine.")
    router: RouterName = Field(
        default="prefix",
        description="How an engine is chosen for a request: by what the request costs there, or by two of "
        "Ray's own ways, to compare with.",
    )
    decode_weight: NonNegativeFloat = Field(
        default=16.0, description="Tokens of a prompt that an answer in the making counts as, for the router."
    )
    first_token_seconds: PositiveFloat = Field(
        default=2.0, description="Wished time to the first token, by which engines are added."
    )
    upscale_seconds: NonNegativeFloat = Field(
        default=5.0, description="How long there has to be too much work before engines are added."
    )
    downscale_seconds: NonNegativeFloat = Field(
        default=120.0, description="How long there has to be too little before one goes."
    )
    drain_seconds: NonNegativeFloat = Field(
        default=30.0,
        description="How long an engine that has to go makes answers before another goes on with them.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "RayOptions":
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas {self.max_replicas} is less than min_replicas {self.min_replicas}"
            )
        return self

    @property
    def most_replicas(self) -> int:
        """Most engines of each model."""
        return self.max_replicas or self.min_replicas

    def server_settings(self) -> Settings:
        """The server's own options. Raises ConfigurationError, also over those that have no effect here."""
        for reason, names in _OTHERS.items():
            if found := [name for name in names if name in self.settings]:
                raise ConfigurationError(f"{found[0]} has no effect on Ray: {reason}")
        return read_configuration(self.settings).settings
