"""How many bytes a body may have."""

from caravan.config.settings import Settings
from caravan.models import ModelRegistry


def body_limit(settings: Settings, registry: ModelRegistry) -> int:
    """Return the most: with room for an image where a model sees, and nobody has said otherwise."""
    limit = settings.max_body_bytes
    if "max_body_bytes" in settings.model_fields_set or not any(s.start_encoder for s in registry.specs):
        return limit
    return limit + int(settings.max_image_bytes) * 4 // 3
