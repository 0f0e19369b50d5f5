"""One book of quotas for all ingresses, in an actor: a key has its limits once."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from caravan.auth.keys_file import Key
from caravan.auth.ledger import Allowance, LocalLedger
from caravan.auth.rate_limit import Admission, Quotas
from caravan.errors import RateLimitError
from caravan.ray_serve.patience import Ask

log = logging.getLogger(__name__)

# Ingresses give a sign so often; what one holds that has not for so long is given back.
PULSE_SECONDS = 2.0
_SILENT_SECONDS = 15.0
# What goes beyond the reserve is told in steps.
_STEP_TOKENS = 16

# Calls a method of the book, and waits for nothing.
Tell = Callable[..., object]


class Refusal(NamedTuple):
    """Why a request is not admitted, or may not reserve so much."""

    message: str
    code: str
    retry_after: int | None


class Answer(NamedTuple):
    """What the book says: a refusal, if it is one, and what is left of the key's limits."""

    refusal: Refusal | None
    headers: dict[str, str]


class LedgerBook:
    """The actor. Admissions are told by names that ingresses choose."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quotas = Quotas(clock)
        self._held: dict[str, dict[str, Admission]] = {}
        self._spent: dict[str, int] = {}
        self._heard_at: dict[str, float] = {}

    async def enter(self, ingress: str, name: str, key: Key, is_background: bool = False) -> Answer:
        """Admit a request of an ingress. One that is asked for again, its answer being lost, counts once."""
        await self.pulse(ingress)
        if (held := self._of(ingress, name)) is not None:
            return Answer(None, held.headers())
        try:
            admission = self._quotas.enter(key, is_background=is_background)
        except RateLimitError as error:
            return Answer(_refusal(error), self._quotas.headers(key))
        self._held[ingress][name] = admission
        return Answer(None, admission.headers())

    async def reserve(self, ingress: str, name: str, num_tokens: int) -> Answer:
        """Take what a request may come to."""
        admission = self._of(ingress, name)
        if admission is None:
            # The book is younger than the request: it counts from its end on.
            return Answer(None, {})
        try:
            admission.reserve(num_tokens)
        except RateLimitError as error:
            return Answer(_refusal(error), admission.headers())
        return Answer(None, admission.headers())

    async def spend(self, ingress: str, name: str, num_tokens: int) -> None:
        """Note what a request has come to so far."""
        if (admission := self._of(ingress, name)) is not None:
            admission.spend(num_tokens)
            self._spent[name] = num_tokens

    async def leave(self, ingress: str, name: str, num_tokens: int) -> None:
        """Note that a request has ended."""
        admission = self._held.get(ingress, {}).pop(name, None)
        self._spent.pop(name, None)
        if admission is not None:
            admission.leave(num_tokens)

    async def headers(self, key: Key) -> dict[str, str]:
        """What is left of a key's limits."""
        return self._quotas.headers(key)

    async def pulse(self, ingress: str) -> None:
        """Note that an ingress is there, and give back what those hold that are not."""
        now = self._clock()
        self._heard_at[ingress] = now
        self._held.setdefault(ingress, {})
        for silent in [name for name, heard in self._heard_at.items() if now - heard > _SILENT_SECONDS]:
            del self._heard_at[silent]
            for name, admission in self._held.pop(silent, {}).items():
                admission.leave(self._spent.pop(name, 0))

    def _of(self, ingress: str, name: str) -> Admission | None:
        return self._held.get(ingress, {}).get(name)


def _refusal(error: RateLimitError) -> Refusal:
    return Refusal(error.message, error.code, error.retry_after)


def _refused(refusal: Refusal) -> RateLimitError:
    return RateLimitError(refusal.message, code=refusal.code, retry_after=refusal.retry_after)


class RemoteAllowance:
    """An `Allowance` of the book elsewhere. What it has told last is what is known of it here."""

    def __init__(self, ask: Ask, tell: Tell, place: tuple[str, str], headers: dict[str, str]) -> None:
        self._ask = ask
        self._tell = tell
        self._place = place
        self._headers = headers
        self._num_told = 0
        self._has_left = False

    def headers(self) -> dict[str, str]:
        """What was left of the key's limits when the book was last asked."""
        return self._headers

    async def reserve(self, num_tokens: int) -> None:
        """Take what the request may come to; raises RateLimitError."""
        answer: Answer = await self._ask("reserve", *self._place, num_tokens)
        self._headers = answer.headers or self._headers
        if answer.refusal is not None:
            raise _refused(answer.refusal)
        self._num_told = num_tokens

    def spend(self, num_tokens: int) -> None:
        """Note how many tokens the request has come to so far."""
        if num_tokens >= self._num_told + _STEP_TOKENS:
            self._num_told = num_tokens
            self._tell("spend", *self._place, num_tokens)

    def leave(self, num_tokens: int) -> None:
        """Note that the request has ended with so many."""
        if not self._has_left:
            self._has_left = True
            self._tell("leave", *self._place, num_tokens)


class RemoteLedger:
    """A `Ledger` by the book elsewhere; keys without limits do not need it."""

    def __init__(self, ask: Ask, tell: Tell) -> None:
        self._ask = ask
        self._tell = tell
        self._ingress = secrets.token_hex(8)
        self._local = LocalLedger()
        self._count = 0
        self._pulsing: asyncio.Task[None] | None = None

    async def enter(self, key: Key, *, is_background: bool = False) -> Allowance:
        """Admit a request, or raise RateLimitError."""
        if not _is_limited(key):
            return await self._local.enter(key, is_background=is_background)
        if self._pulsing is None:
            self._pulsing = asyncio.create_task(self._pulse(), name="ledger pulse")
        self._count += 1
        place = self._ingress, f"{self._ingress}-{self._count}"
        answer: Answer = await self._ask("enter", *place, key, is_background)
        if answer.refusal is not None:
            raise _refused(answer.refusal)
        return RemoteAllowance(self._ask, self._tell, place, answer.headers)

    async def headers(self, key: Key) -> dict[str, str]:
        """What is left of a key's limits."""
        found: dict[str, str] = await self._ask("headers", key)
        return found

    async def aclose(self) -> None:
        """Give no more signs of being there."""
        if self._pulsing is not None:
            self._pulsing.cancel()
            await asyncio.gather(self._pulsing, return_exceptions=True)

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            with contextlib.suppress(Exception):
                await self._ask("pulse", self._ingress)


def _is_limited(key: Key) -> bool:
    limits = key.concurrent_requests, key.requests_per_minute, key.tokens_per_minute
    return any(limit is not None for limit in limits)
