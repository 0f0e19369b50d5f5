"""The models this server has: found among its settings and files, loaded, shared, and unloaded."""

from caravan.models.discovery import CatalogError, model_specs, registry_of
from caravan.models.eviction import Limits, NoRoomError
from caravan.models.loader import ModelSpec
from caravan.models.registry import ModelRegistry
from caravan.models.slot import Lease, Status

__all__ = [
    "CatalogError",
    "Lease",
    "Limits",
    "ModelRegistry",
    "ModelSpec",
    "NoRoomError",
    "Status",
    "model_specs",
    "registry_of",
]
