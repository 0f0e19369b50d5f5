"""Tells routers what is in the prefix caches, over ZeroMQ, as vLLM does.

Each batch is a message of three frames: the topic `kv@NAME@MODEL`, a number in eight bytes with the highest
first, and the batch. Who has missed some asks the second socket for them.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from caravan.engine.block_books import BlockBooks
from caravan.engine.block_events import (
    AllBlocksCleared,
    BlockEvent,
    BlocksRemoved,
    BlocksStored,
    adapter_mark,
)
from caravan.observability.kv_events import wire

if TYPE_CHECKING:
    import zmq

log = logging.getLogger(__name__)

# Messages that wait for a subscriber who is slow; what goes beyond it misses.
_MAX_WAITING = 10_000
_NUM_KEPT = 1_000
_NUMBER_BYTES = 8
_ALL_ADDRESSES = ("*", "::", "0.0.0.0")  # noqa: S104 (what people write)
_END = (-1).to_bytes(_NUMBER_BYTES, "big", signed=True)
# How soon the thread notices that it is to end.
_POLL_MILLISECONDS = 200
# For the last events, when the server ends.
_CLOSE_MILLISECONDS = 200


class PublicBlocks:
    """Leaves out of events what only some may share: texts of one key, one group or one `cache_salt`.

    A router can do nothing with them, as it does not know who may share what. What one of the adapters has
    computed, at its full strength and for all, is told with its name.
    """

    def __init__(self, adapters: Callable[[], Iterable[str]] = tuple) -> None:
        self._adapters = adapters
        self._private: set[int] = set()
        self._by_adapter: dict[int, str] = {}

    def of(self, events: Sequence[BlockEvent]) -> Iterator[BlockEvent]:
        """Yield what is public of events, in their order."""
        for event in events:
            match event:
                case BlocksStored():
                    yield from self._stored(event)
                case BlocksRemoved(block_hashes):
                    public = tuple(name for name in block_hashes if name not in self._private)
                    self._private.difference_update(block_hashes)
                    for name in block_hashes:
                        self._by_adapter.pop(name, None)
                    if public:
                        yield BlocksRemoved(public)
                case AllBlocksCleared():
                    self._private.clear()
                    self._by_adapter.clear()
                    yield event

    def _stored(self, event: BlocksStored) -> Iterator[BlocksStored]:
        """The blocks of one chain are public up to the first that is not."""
        count = len(event.block_hashes)
        lora_name = self._lora_name(event)
        if event.parent_hash in self._private:
            count = 0
        elif lora_name is not None:
            # Others may begin to compute in a later block.
            first = 1 if event.parent_hash is None else 0
            others = (place for place, scope in enumerate(event.scopes) if scope and place >= first)
            count = next(others, count)
            self._by_adapter.update(dict.fromkeys(event.block_hashes[:count], lora_name))
        elif event.scopes:
            count = next(index for index, scope in enumerate(event.scopes) if scope)
        self._private.update(event.block_hashes[count:])
        if count:
            yield BlocksStored(
                event.block_hashes[:count],
                event.parent_hash,
                event.token_ids[: count * event.block_size],
                event.block_size,
                lora_name=lora_name,
            )

    def _lora_name(self, event: BlocksStored) -> str | None:
        """Tell which adapter alone has computed a chain, if any has, from its first token on."""
        if event.parent_hash is not None:
            return self._by_adapter.get(event.parent_hash)
        if not event.scopes or not event.scopes[0]:
            return None
        marks = {adapter_mark(name): name for name in self._adapters()}
        return marks.get(event.scopes[0])


class KvEventsError(Exception):
    """Events are wanted and cannot be published; the message is one line for the operator."""


class _Sent(NamedTuple):
    topic: bytes
    number: int
    batch: bytes


class KvEventPublisher:
    """The sockets of one server. `listener` and what it returns belong to one thread; another, of its own,
    answers those who have missed something.
    """

    def __init__(self, endpoint: str, replay_endpoint: str | None, name: str) -> None:
        """Open the sockets. Raises KvEventsError."""
        check_library()
        import zmq

        self._name = name
        self._lock = threading.Lock()
        self._kept: deque[_Sent] = deque(maxlen=_NUM_KEPT)
        self._books: dict[bytes, BlockBooks] = {}
        self._num_sent = 0
        self._closing = threading.Event()
        self._zmq = zmq.Context()
        self._thread: threading.Thread | None = None
        try:
            self._pub = self._socket(zmq.PUB, endpoint)
            if replay_endpoint is not None:
                replay = self._socket(zmq.ROUTER, replay_endpoint, binds=True)
                self._thread = threading.Thread(
                    target=self._answer, args=(replay,), name="kv events", daemon=True
                )
                self._thread.start()
        except KvEventsError:
            self._zmq.destroy(linger=0)
            raise

    def listener(
        self, model: str, adapters: Callable[[], Iterable[str]] = tuple
    ) -> Callable[[Sequence[BlockEvent]], None]:
        """Return what publishes the events of a model, which has these adapters at the time of each."""
        topic = f"kv@{self._name}@{model}".encode()
        public = PublicBlocks(adapters)
        with self._lock:
            books = self._books[topic] = BlockBooks()

        def publish(events: Sequence[BlockEvent]) -> None:
            if told := list(public.of(events)):
                with self._lock:
                    books.add(told)
                    self._send(topic, wire.encode(told))

        return publish

    def close(self) -> None:
        """Close the sockets, once the last events are sent or nobody takes them."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._pub.close(linger=_CLOSE_MILLISECONDS)
        self._zmq.term()

    def _send(self, topic: bytes, batch: bytes) -> None:
        sent = _Sent(topic, self._num_sent, batch)
        self._num_sent += 1
        self._kept.append(sent)
        self._pub.send_multipart(_frames(sent))

    def _socket(self, kind: int, endpoint: str, *, binds: bool = False) -> "zmq.Socket[bytes]":
        """A socket at an endpoint: by vLLM's rule one that names all addresses, or none of a network,
        listens, and any other is connected to.
        """
        import zmq

        socket = self._zmq.socket(kind)
        socket.linger = 0
        socket.set_hwm(_MAX_WAITING)
        is_here = any(part in endpoint for part in _ALL_ADDRESSES) or not endpoint.startswith("tcp://")
        binds = binds or is_here
        try:
            socket.bind(endpoint) if binds else socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise KvEventsError(
                f"cannot {'listen on' if binds else 'connect to'} {endpoint}: {error}"
            ) from error
        return socket

    def _answer(self, replay: "zmq.Socket[bytes]") -> None:
        with contextlib.closing(replay):
            while not self._closing.is_set():
                if not replay.poll(_POLL_MILLISECONDS):
                    continue
                # Nothing that somebody sends may end this.
                try:
                    client, *_, first = replay.recv_multipart()
                    for sent in self._missed(int.from_bytes(first, "big")):
                        replay.send_multipart([client, b"", *_frames(sent)])
                    replay.send_multipart([client, b"", b"", _END, b""])
                except Exception:
                    log.exception("a request for past events of the KV cache has failed")

    def _missed(self, first: int) -> list[_Sent]:
        """All batches from number `first` on; where some of them are kept no longer, what they have led to,
        under the last numbers, one for each model.
        """
        with self._lock:
            kept, num_sent = list(self._kept), self._num_sent
            books = {topic: book.copy() for topic, book in self._books.items() if book.has_begun}
        if first >= num_sent or (kept and kept[0].number <= first):
            return [sent for sent in kept if sent.number >= first]
        numbers = range(num_sent - len(books), num_sent)
        return [
            _Sent(topic, number, wire.encode(book.snapshot()))
            for number, (topic, book) in zip(numbers, books.items(), strict=True)
        ]


def check_library() -> None:
    """Raise KvEventsError where the library is not installed."""
    try:
        import zmq  # noqa: F401 (only whether it is there)
    except ImportError as error:
        message = "events of the KV cache need another package: pip install 'llama-caravan[kv-events]'"
        raise KvEventsError(message) from error


def _frames(sent: _Sent) -> list[bytes]:
    return [sent.topic, sent.number.to_bytes(_NUMBER_BYTES, "big"), sent.batch]
