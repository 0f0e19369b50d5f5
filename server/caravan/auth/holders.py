"""Holders of keys as callers: those who show their key, and those whose work goes on without them."""

from dataclasses import dataclass

from caravan.auth.key_store import KeyStore
from caravan.auth.keys_file import Key
from caravan.auth.ledger import Allowance, Ledger
from caravan.auth.principal import ANONYMOUS, Principal
from caravan.errors import AuthenticationError


@dataclass(frozen=True, kw_only=True)
class Holders:
    """The keys of a server, and what each has used. With `share_prefixes`, all keys share cached prompts."""

    keys: KeyStore
    ledger: Ledger
    share_prefixes: bool

    def principal(self, key: Key, admission: Allowance | None) -> Principal:
        """Return the holder of a key, as one request of theirs has them."""
        return Principal(
            id=key.id,
            name=key.name,
            is_admin=key.role == "admin",
            models=None if key.models is None else frozenset(key.models),
            cache_group="" if self.share_prefixes else _cache_group(key),
            priority=key.priority,
            max_priority=max(key.priority, key.priority if key.max_priority is None else key.max_priority),
            weight=key.weight,
            allowance=admission,
        )

    def absent(self, key_id: str) -> Principal:
        """Return the holder of a key by its id, where nothing is to be counted.

        Raises AuthenticationError where there is no such key any more.
        """
        return self.principal(self._key(key_id), None) if key_id else ANONYMOUS

    async def background(self, key_id: str) -> Principal:
        """Admit work that goes on in the background; `leave` must follow where there is an allowance.

        Raises AuthenticationError, and RateLimitError where it would take what live requests may need.
        """
        if not key_id:
            return ANONYMOUS
        key = self._key(key_id)
        return self.principal(key, await self.ledger.enter(key, is_background=True))

    def _key(self, key_id: str) -> Key:
        for key in self.keys.current():
            if key.id == key_id:
                return key
        raise AuthenticationError("The key that this was asked with has been revoked.")


def _cache_group(key: Key) -> str:
    # A group's name is no key's id, whatever it is called.
    return key.id if key.cache_group is None else f"group {key.cache_group}"
