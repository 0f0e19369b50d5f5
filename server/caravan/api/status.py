"""How the server and its models stand, for administrators. No prompt is in it."""

import os
import time

from caravan_schemas.ops import ModelStatus, ServerStatus

from caravan.auth.principal import Principal
from caravan.models import ModelRegistry, ModelSpec
from caravan.observability.metrics import resident_bytes
from caravan.version import version


class StatusService:
    """Serves `GET /status`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._started = time.monotonic()

    def read(self, principal: Principal) -> ServerStatus:
        """Collect the numbers of this moment."""
        return ServerStatus(
            version=version(),
            uptime_seconds=round(time.monotonic() - self._started, 1),
            memory_bytes=resident_bytes(os.getpid()),
            models=[self._model(spec) for spec in self._registry.usable(principal)],
        )

    def load(self, principal: Principal) -> int:
        """Count the choices that run or wait, but those of batches, which stand still for anybody else."""
        models = [self._registry.loaded(spec.id) for spec in self._registry.usable(principal)]
        stats = [model.engine.stats() for model in models if model is not None]
        return sum(one.num_live_running + one.num_live_waiting for one in stats)

    def _model(self, spec: ModelSpec) -> ModelStatus:
        status, model = self._registry.status(spec.id).value, self._registry.loaded(spec.id)
        if model is None:
            return ModelStatus(id=spec.id, status=status)
        stats, pid = model.engine.stats(), model.engine.pid
        return ModelStatus(
            id=spec.id,
            status=status,
            context_size=model.context_size,
            running=stats.num_running,
            waiting=stats.num_waiting,
            cells=stats.num_cells,
            cells_used=stats.num_cells_used,
            prompt_tokens=stats.num_prompt_tokens,
            cached_tokens=stats.num_cached_tokens,
            generated_tokens=stats.num_completion_tokens,
            restarts=model.engine.num_restarts,
            memory_bytes=None if pid is None else resident_bytes(pid),
        )
