"""Who counts what keys use: one book for all that admit requests, whether it is here or elsewhere."""

from typing import Protocol

from caravan.auth.keys_file import Key
from caravan.auth.rate_limit import Admission, Quotas


class Allowance(Protocol):
    """One admitted request's part of its key's limits; `leave` must follow. See `Admission`."""

    def headers(self) -> dict[str, str]:
        """What is left of the key's limits, as far as that is known, for the answer."""

    async def reserve(self, num_tokens: int) -> None:
        """Take what the request may come to, before any of it is computed; raises RateLimitError."""

    def spend(self, num_tokens: int) -> None:
        """Note how many tokens the request has come to so far."""

    def leave(self, num_tokens: int) -> None:
        """Note that it has ended with so many; only the first time counts."""


class Ledger(Protocol):
    """The accounts of all keys."""

    async def enter(self, key: Key, *, is_background: bool = False) -> Allowance:
        """Admit a request, or raise RateLimitError. See `Quotas`."""

    async def headers(self, key: Key) -> dict[str, str]:
        """What is left of a key's limits, for the answer to a request that was not admitted."""


class LocalAllowance:
    """An allowance of the accounts in this process."""

    def __init__(self, admission: Admission) -> None:
        self.headers = admission.headers
        self.spend = admission.spend
        self.leave = admission.leave
        self._reserve = admission.reserve

    async def reserve(self, num_tokens: int) -> None:
        """Take what the request may come to; raises RateLimitError."""
        self._reserve(num_tokens)


class LocalLedger:
    """The accounts in this process."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas = quotas or Quotas()

    async def enter(self, key: Key, *, is_background: bool = False) -> LocalAllowance:
        """Admit a request, or raise RateLimitError."""
        return LocalAllowance(self._quotas.enter(key, is_background=is_background))

    async def headers(self, key: Key) -> dict[str, str]:
        """What is left of a key's limits."""
        return self._quotas.headers(key)
