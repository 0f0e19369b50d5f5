"""Several inputs of one request: in their order, a few at a time, and all let go of when one fails."""

import asyncio
import base64
from dataclasses import dataclass, field

import pytest
from caravan.auth.principal import ANONYMOUS
from caravan.errors import InvalidValueError
from caravan.media.fetching import ImageFetcher
from caravan.media.reader import MediaReader, MediaSource
from caravan.media.values import EncodedMedia, Kind, MediaInput, MediaRefusedError


@dataclass
class Gate:
    """An encoder that answers when it is opened; `held` are those that nobody has released."""

    modalities: frozenset[Kind] = frozenset({"image"})
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[bytes] = field(default_factory=list)
    num_reading: int = 0
    most_reading: int = 0

    async def read(
        self, media: MediaInput, *, group: str, param: str, owner: str, weight: float
    ) -> EncodedMedia:
        assert (owner, weight) == (ANONYMOUS.id, ANONYMOUS.weight)
        assert group == ANONYMOUS.cache_group
        if media.data == b"broken":
            raise MediaRefusedError("is broken")
        self.num_reading += 1
        self.most_reading = max(self.most_reading, self.num_reading)
        try:
            if param != "first":
                await self.is_open.wait()
        finally:
            self.num_reading -= 1
        self.held.append(media.data)
        return EncodedMedia(chunks=((media.data[0],),), on_release=lambda: self.held.remove(media.data))

    async def close(self) -> None:
        """Nothing is open."""


READER = MediaReader(ImageFetcher([]), 100)


def sources(*data: bytes) -> list[MediaSource]:
    return [
        MediaSource(
            kind="image",
            source=f"data:image/png;base64,{base64.b64encode(one).decode()}",
            param=f"{number}" if number else "first",
        )
        for number, one in enumerate(data)
    ]


def test_inputs_come_in_their_order_and_a_few_at_a_time() -> None:
    async def run() -> None:
        gate = Gate()
        reading = asyncio.create_task(
            READER.read(sources(*(bytes([n + 1]) for n in range(9))), gate, ANONYMOUS)
        )
        while gate.num_reading < 4:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert gate.most_reading == 4
        gate.is_open.set()
        assert [media.chunks for media in await reading] == [((n + 1,),) for n in range(9)]
        assert gate.most_reading == 4

    asyncio.run(run())


def test_one_that_fails_gives_up_the_others() -> None:
    async def run() -> None:
        gate = Gate()
        with pytest.raises(InvalidValueError) as caught:
            await READER.read(sources(b"a", b"b", b"broken"), gate, ANONYMOUS)
        assert caught.value.param == "2"
        assert (gate.held, gate.num_reading) == ([], 0)

    asyncio.run(run())


def test_a_request_that_is_given_up_leaves_nothing() -> None:
    async def run() -> None:
        gate = Gate()
        reading = asyncio.create_task(READER.read(sources(b"a", b"b", b"c"), gate, ANONYMOUS))
        while gate.num_reading < 2 or not gate.held:
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (gate.held, gate.num_reading) == ([], 0)

    asyncio.run(run())
