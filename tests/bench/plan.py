"""What a run sends and what it brings back: the values between the benchmark and its client process."""

from typing import Any

import msgspec

Body = dict[str, Any]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One client: its requests, each sent when the one before is answered.

    `group` names clients that are measured together. In a conversation each body has one message more, the
    user's; the client adds what was said before. `at` holds a client back for so many seconds, `waits` until
    all that do not wait have their first token. `units` is what an answer counts for that does not come as a
    stream of tokens.
    """

    bodies: list[Body]
    group: str = "clients"
    is_conversation: bool = False
    waits: bool = False
    at: float = 0.0
    units: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run sends to one server."""

    port: int
    path: str
    scripts: list[Script]


class Exchange(msgspec.Struct, kw_only=True):
    """One request and its answer. Times are seconds since the run began; `times` are those of its text."""

    group: str
    sent: float
    ended: float = 0.0
    times: list[float] = []
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    num_cached_tokens: int = 0
    has_usage: bool = False
    error: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the client saw, and how much processor time it took itself."""

    exchanges: list[Exchange]
    seconds: float
    client_cpu_seconds: float
