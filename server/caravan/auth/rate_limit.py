"""How much each key may use: requests and tokens per minute, and requests at once."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from caravan.auth.keys_file import Key
from caravan.errors import RateLimitError

_MINUTE = 60.0
# Work in the background leaves live requests so much of what a key may use in a minute.
_LEFT = 0.5


class Bucket:
    """A token bucket: fills evenly to `capacity` within a minute, and may be overdrawn."""

    def __init__(self, capacity: int, clock: Callable[[], float]) -> None:
        self.capacity = capacity
        self._clock = clock
        self._level = float(capacity)
        self._as_of = clock()

    def level(self) -> float:
        """Return what is in it now."""
        now = self._clock()
        self._level = min(self.capacity, self._level + (now - self._as_of) * self.capacity / _MINUTE)
        self._as_of = now
        return self._level

    def take(self, amount: float) -> None:
        """Take so much out, be there enough or not; a negative amount is put back."""
        self._level = self.level() - amount

    def seconds_until(self, level: float) -> float:
        """Compute how long it takes until so much is in it."""
        return max(0.0, (level - self.level()) * _MINUTE / self.capacity)


@dataclass
class _Account:
    key: Key
    requests: Bucket | None
    tokens: Bucket | None
    num_active: int = 0
    num_reserving: int = 0

    def headers(self) -> dict[str, str]:
        """Return what is left, under OpenAI's names."""
        told = {}
        for kind, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            if bucket is not None:
                told[f"x-ratelimit-limit-{kind}"] = str(bucket.capacity)
                told[f"x-ratelimit-remaining-{kind}"] = str(max(0, math.floor(bucket.level())))
                told[f"x-ratelimit-reset-{kind}"] = _duration(bucket.seconds_until(bucket.capacity))
        return told


class Admission:
    """One admitted request; `leave` must follow. Only the first one counts.

    Work in the background is no request that runs at once with others.
    """

    def __init__(self, account: _Account, *, is_background: bool = False) -> None:
        self._account = account
        self._num_active = 0 if is_background else 1
        self._num_taken = 0
        self._has_left = False
        account.num_active += self._num_active

    def headers(self) -> dict[str, str]:
        """Return what is left of the key's limits, for the answer."""
        return self._account.headers()

    def reserve(self, num_tokens: int) -> None:
        """Take what the request may come to, before any of it is computed; raises RateLimitError.

        A request that is the key's only one may ask for more than is left: what it overdraws is paid back by
        waiting. So a burst overdraws by one request at most, and no request is too large for ever.
        """
        bucket = self._account.tokens
        if bucket is None:
            return
        has_others = self._account.num_reserving > bool(self._num_taken)
        wanted = min(num_tokens, bucket.capacity) if has_others else 1
        if bucket.level() < wanted:
            raise RateLimitError(
                f"The key '{self._account.key.name}' may use {bucket.capacity} tokens per minute. This "
                f"request may come to {num_tokens}: its prompt, and the answer it allows or a usual one.",
                code="rate_limit_exceeded",
                retry_after=_whole_seconds(bucket.seconds_until(wanted)),
            )
        self._take(num_tokens)

    def spend(self, num_tokens: int) -> None:
        """Note how many tokens the request has come to so far; what is beyond its reserve is taken now."""
        if num_tokens > self._num_taken:
            self._take(num_tokens - self._num_taken)

    def leave(self, num_tokens: int) -> None:
        """Note that the request has ended with so many tokens, and give back what was reserved beyond."""
        if self._has_left:
            return
        self._has_left = True
        self._account.num_active -= self._num_active
        self._account.num_reserving -= bool(self._num_taken)
        if self._account.tokens is not None:
            self._account.tokens.take(num_tokens - self._num_taken)

    def _take(self, num_tokens: int) -> None:
        if self._account.tokens is not None and num_tokens > 0:
            self._account.num_reserving += not self._num_taken
            self._account.tokens.take(num_tokens)
            self._num_taken += num_tokens


class Quotas:
    """The accounts of all keys. A key whose limits were changed begins a new one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def enter(self, key: Key, *, is_background: bool = False) -> Admission:
        """Admit a request as long as any tokens are left; it reserves its own as soon as its prompt is read.

        Work in the background is admitted as long as half of them are, and counts as none that runs.

        Raises RateLimitError.
        """
        account = self._account(key)
        limit = key.concurrent_requests
        if limit is not None and not is_background and account.num_active >= limit:
            raise RateLimitError(
                f"The key '{key.name}' may have {limit} requests running at once.",
                code="concurrency_limit_exceeded",
                retry_after=1,
            )
        for kind, bucket in (("requests", account.requests), ("tokens", account.tokens)):
            least = 1.0 if bucket is None or not is_background else max(1.0, _LEFT * bucket.capacity)
            if bucket is not None and bucket.level() < least:
                raise RateLimitError(
                    f"The key '{key.name}' may use {bucket.capacity} {kind} per minute.",
                    code="rate_limit_exceeded",
                    retry_after=_whole_seconds(bucket.seconds_until(least)),
                )
        if account.requests is not None:
            account.requests.take(1)
        return Admission(account, is_background=is_background)

    def headers(self, key: Key) -> dict[str, str]:
        """Return what is left of a key's limits, for the answer to a request that was not admitted."""
        return self._account(key).headers()

    def _account(self, key: Key) -> _Account:
        account = self._accounts.get(key.id)
        if account is None or account.key != key:
            account = _Account(
                key, self._bucket(key.requests_per_minute), self._bucket(key.tokens_per_minute)
            )
            self._accounts[key.id] = account
        return account

    def _bucket(self, capacity: int | None) -> Bucket | None:
        return None if capacity is None else Bucket(capacity, self._clock)


def _whole_seconds(seconds: float) -> int:
    """Rounded up, but for what is left of floating point."""
    return max(1, math.ceil(seconds - 1e-6))


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 250ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
