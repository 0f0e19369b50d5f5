"""The models this server has: found among its settings and files, loaded, shared, and unloaded."""

from server.registry.catalog import CatalogError, offers, registry_of
from server.registry.entry import Status
from server.registry.eviction import NoRoomError
from server.registry.lease import Lease
from server.registry.models import ModelRegistry, may_use
from server.registry.offer import ModelOffer
from server.registry.room import Limits

__all__ = [
    "CatalogError",
    "Lease",
    "Limits",
    "ModelOffer",
    "ModelRegistry",
    "NoRoomError",
    "Status",
    "may_use",
    "offers",
    "registry_of",
]
