"""The clients of one run, in a process of their own: reads a plan from standard input, prints the outcome.

Answers are kept as they arrive and decoded when they have ended.
"""

import asyncio
import resource
import socket
import sys
import time
from typing import Any

import msgspec

from tests.bench.plan import Body, Exchange, Outcome, Plan, Script
from tests.bench.wire import EventReader, ResponseReader

_TIMEOUT_SECONDS = 900
_SHOWN_ERROR = 300

Arrival = tuple[float, bytes]


class Connection(asyncio.Protocol):
    """A connection that stays open from answer to answer; sets `has_token` once text has arrived."""

    def __init__(self, has_token: asyncio.Event) -> None:
        self._has_token = has_token
        self._transport: asyncio.Transport
        self._answered: asyncio.Future[None]
        self._is_stream = True
        self._reader = ResponseReader()
        self._events = EventReader()
        self.is_open = False
        self.arrivals: list[Arrival] = []
        self.plain = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        try:
            body = self._reader.feed(data)
        except ValueError:
            self._transport.abort()
            return
        if self._reader.status != 200 or not self._is_stream:
            self.plain += body
        else:
            self.arrivals += [(now, event) for event in self._events.feed(body)]
            # The first event may be a chat's empty opening.
            if len(self.arrivals) > 1:
                self._has_token.set()
        if self._reader.complete:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self.is_open = False
        self._reader.end()
        self._finish()

    async def exchange(self, head_and_body: bytes, *, is_stream: bool) -> int:
        """Send a request and wait for its whole answer; returns the status, 0 if the connection broke."""
        self._is_stream = is_stream
        self._reader, self._events = ResponseReader(), EventReader()
        self.arrivals, self.plain = [], b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(head_and_body)
        await asyncio.wait_for(self._answered, _TIMEOUT_SECONDS)
        return self._reader.status if self._reader.complete else 0

    @property
    def has_answer(self) -> bool:
        """Whether anything of an answer to the last request has come."""
        return self._reader.status != 0

    def close(self) -> None:
        self._transport.abort()

    def _finish(self) -> None:
        if self._reader.closes:
            self._transport.close()
            self.is_open = False
        if hasattr(self, "_answered") and not self._answered.done():
            self._answered.set_result(None)


class Client:
    """Runs one script."""

    def __init__(self, plan: Plan, script: Script, began: float) -> None:
        self._plan = plan
        self._script = script
        self._began = began
        self._history: list[Body] = []
        self._connection: Connection | None = None
        self.has_token = asyncio.Event()
        self.exchanges: list[Exchange] = []

    async def run(self) -> None:
        for body in self._script.bodies:
            reply = await self._send(self._with_history(body))
            if self._script.is_conversation:
                self._history.append({"role": "assistant", "content": reply})
        self.has_token.set()
        if self._connection is not None:
            self._connection.close()

    def _with_history(self, body: Body) -> Body:
        if not self._script.is_conversation:
            return body
        self._history += body["messages"]
        return body | {"messages": self._history}

    async def _send(self, body: Body) -> str:
        payload = msgspec.json.encode(body)
        request = (
            f"POST {self._plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{self._plan.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        ).encode() + payload
        exchange = Exchange(group=self._script.group, sent=0.0)
        self.exchanges.append(exchange)
        status = 0
        while status == 0:
            is_new, connection = await self._connected()
            exchange.sent = time.perf_counter() - self._began
            try:
                status = await connection.exchange(request, is_stream=self._script.units is None)
            except TimeoutError:
                connection.close()
            # Some servers close a connection after a stream without having said so; that is no failure.
            if is_new or connection.has_answer:
                break
        exchange.ended = time.perf_counter() - self._began
        return self._read(exchange, status, connection)

    async def _connected(self) -> tuple[bool, Connection]:
        """A connection, and whether it is new."""
        if self._connection is not None and self._connection.is_open:
            return False, self._connection
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(
            lambda: Connection(self.has_token), "127.0.0.1", self._plan.port
        )
        return True, self._connection

    def _read(self, exchange: Exchange, status: int, connection: Connection) -> str:
        """Fill the exchange from what has arrived; returns the text."""
        if status != 200:
            exchange.error = f"status {status}: {connection.plain[:_SHOWN_ERROR].decode(errors='replace')}"
            return ""
        if self._script.units is not None:
            exchange.has_usage, exchange.times = True, [exchange.ended]
            exchange.num_completion_tokens = self._script.units
            return connection.plain.decode()
        texts = []
        for when, data in connection.arrivals:
            if data == b"[DONE]":
                continue
            event = msgspec.json.decode(data)
            if text := read_event(event, exchange):
                exchange.times.append(when - self._began)
                texts.append(text)
        if not texts and not exchange.error:
            exchange.error = "no text"
        if not exchange.has_usage:
            # One piece of text is one token, but for those that end inside a character.
            exchange.num_completion_tokens = len(texts)
        return "".join(texts)


def read_event(event: dict[str, Any], exchange: Exchange) -> str:
    """The text of an event; usage and errors go into the exchange."""
    if "error" in event:
        exchange.error = str(event["error"])[:_SHOWN_ERROR]
        return ""
    if usage := event.get("usage"):
        exchange.has_usage = True
        exchange.num_prompt_tokens = usage["prompt_tokens"]
        exchange.num_completion_tokens = usage["completion_tokens"]
        exchange.num_cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    if not event.get("choices"):
        return ""
    choice = event["choices"][0]
    return choice.get("text") or (choice.get("delta") or {}).get("content") or ""


async def run(plan: Plan) -> Outcome:
    """Run all scripts of a plan at once."""
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    clients = [Client(plan, script, began) for script in plan.scripts]
    first = [client for client, script in zip(clients, plan.scripts, strict=True) if not script.waits]

    async def start(client: Client, script: Script) -> None:
        if script.waits:
            await asyncio.gather(*(other.has_token.wait() for other in first))
        await asyncio.sleep(began + script.at - time.perf_counter())
        await client.run()

    await asyncio.gather(*(start(*pair) for pair in zip(clients, plan.scripts, strict=True)))
    cpu_seconds = _cpu_seconds() - cpu_before
    exchanges = [exchange for client in clients for exchange in client.exchanges]
    seconds = max(exchange.ended for exchange in exchanges) - min(exchange.sent for exchange in exchanges)
    return Outcome(exchanges=exchanges, seconds=seconds, client_cpu_seconds=cpu_seconds)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(run(plan))))


if __name__ == "__main__":
    main()
