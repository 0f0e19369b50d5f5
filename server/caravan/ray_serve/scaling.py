"""How many replicas a model gets: by the work that waits, not by the number of requests."""

from typing import Any

from ray.serve.config import AutoscalingContext

from caravan.ray_serve.work import wanted_replicas


class ByWork:
    """Ray's policy: as many replicas as compute what waits within the wished time."""

    def __init__(self, first_token_seconds: float) -> None:
        self._first_token_seconds = first_token_seconds

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """How many there are to be, and no state."""
        metrics = ctx.aggregated_metrics or {}

        def values(name: str) -> list[float]:
            return [value for value in metrics.get(name, {}).values() if value is not None]

        speeds = [speed for speed in values("tokens_per_second") if speed > 0]
        wanted = wanted_replicas(
            waiting_tokens=sum(values("waiting_tokens")),
            num_running=sum(values("num_running")),
            tokens_per_second=sum(speeds) / len(speeds) if speeds else 0.0,
            first_token_seconds=self._first_token_seconds,
            max_running=int(min(values("max_running"), default=1)),
        )
        return (ctx.target_num_replicas if wanted is None else wanted), {}
