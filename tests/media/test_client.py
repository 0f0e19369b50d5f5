"""Encoders in processes of their own: what they answer, what they keep, and what their end costs."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from caravan.llama.projector import Projector
from caravan.media.client import EncoderClient, EncoderStartError
from caravan.media.encoder_process import EncoderConfig
from caravan.media.values import (
    EncodedMedia,
    EncodedRun,
    MediaBusyError,
    MediaFailedError,
    MediaInput,
    MediaRefusedError,
)
from caravan.runtime.machine import process_sample
from numpy.typing import NDArray

from tests.media_files import HOSTILE, image_file, picture, sound_file
from tests.tiny_model import EMBED
from tests.tiny_projector import write_tiny_pair, write_tiny_projector
from tests.waiting import until

Work = Callable[[EncoderClient], Awaitable[None]]


def config(folder: Path, kind: str = "llava") -> EncoderConfig:
    model, projector = write_tiny_pair(folder, kind)
    return EncoderConfig(
        projector_path=str(projector),
        model_path=str(model),
        num_threads=1,
        use_gpu=False,
        max_pixels=40_000_000,
        max_sound_seconds=60.0,
        memory_bytes=1 << 30,
        cache_bytes=1 << 20,
        seconds=60.0,
    )


@asynccontextmanager
async def started(options: EncoderConfig) -> AsyncIterator[EncoderClient]:
    client = EncoderClient(options)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def run_with(options: EncoderConfig, work: Work) -> None:
    async def whole() -> None:
        async with started(options) as client:
            await work(client)

    asyncio.run(whole())


async def read(client: EncoderClient, data: bytes, group: str = "") -> EncodedMedia:
    kind = "image" if "image" in client.modalities else "audio"
    media = MediaInput(kind=kind, data=data)  # type: ignore[arg-type]
    return await client.read(media, group=group, param="input", owner=group)


def run_of(media: EncodedMedia) -> EncodedRun:
    (run,) = (chunk for chunk in media.chunks if isinstance(chunk, EncodedRun))
    return run


def mapped(run: EncodedRun) -> NDArray[np.float32]:
    """The embeddings as the engine finds them."""
    shared = run.embeddings
    return np.fromfile(shared.path, np.float32, shared.rows * shared.width, offset=shared.offset).reshape(
        shared.rows, shared.width
    )


@pytest.mark.parametrize("kind", ["llava", "gemma3", "qwen2vl", "qwen3vl"])
def test_embeddings_cross_as_the_projector_makes_them(tmp_path: Path, kind: str) -> None:
    options = config(tmp_path, kind)
    projector = Projector(options.projector_path, options.model_path, num_threads=1)
    with projector.chunks_of_image(picture(5)) as chunks:
        (place,) = (index for index, chunk in enumerate(chunks) if not chunk.token_ids)
        expected = np.empty((chunks[place].num_cells, projector.width), np.float32)
        projector.encode(chunks[place], expected)

    async def work(client: EncoderClient) -> None:
        media = await read(client, image_file(5))
        run = run_of(media)
        np.testing.assert_array_equal(mapped(run), expected)
        assert media.chunks.index(run) == place
        for chunk, reference in zip(media.chunks, chunks, strict=True):
            if isinstance(chunk, tuple):
                assert chunk == reference.token_ids
            else:
                found = (chunk.num_cells, chunk.num_positions, chunk.is_causal, chunk.positions)
                assert found == dataclasses.astuple(reference)[1:5]
        media.release()

    run_with(options, work)
    projector.close()


def test_keys_tell_images_apart_and_not_their_files(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        one, other = await read(client, image_file(0)), await read(client, image_file(1))
        same = await read(client, image_file(0, "BMP"))
        assert run_of(one).key == run_of(same).key != run_of(other).key
        assert len(run_of(one).key) == 16
        for media in (one, other, same):
            media.release()

    run_with(config(tmp_path), work)


def test_keys_of_another_projector_are_others(tmp_path: Path) -> None:
    options = config(tmp_path)
    keys = []

    async def work(client: EncoderClient) -> None:
        media = await read(client, image_file(0))
        keys.append(run_of(media).key)
        media.release()

    run_with(options, work)
    write_tiny_projector(Path(options.projector_path), "llava", seed=1)
    run_with(options, work)
    assert keys[0] != keys[1]


def test_a_group_s_image_is_encoded_once_and_no_other_group_has_it(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        at_once = await asyncio.gather(*(read(client, image_file(0), "mine") for _ in range(5)))
        later = await read(client, image_file(0), "mine")
        assert {id(media) for media in (*at_once, later)} == {id(later)}
        other = await read(client, image_file(0), "yours")
        assert run_of(other).embeddings.path != run_of(later).embeddings.path
        for media in (*at_once, later, other):
            media.release()

    run_with(config(tmp_path), work)


def test_files_go_with_the_last_who_holds_them(tmp_path: Path) -> None:
    options = dataclasses.replace(config(tmp_path), cache_bytes=40_000)

    async def work(client: EncoderClient) -> None:
        size = run_of(first := await read(client, image_file(0))).embeddings.rows * EMBED * 4
        held = run_of(first).embeddings.path
        for seed in range(1, 5):
            (await read(client, image_file(seed))).release()
        # The cache has let go of it, and its reader has not.
        assert Path(held).exists()
        assert client.held_bytes == (40_000 // size + 1) * size
        first.release()
        assert not Path(held).exists()

    run_with(options, work)


def test_a_closed_encoder_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with started(config(tmp_path)) as client:
            media = await read(client, image_file(0))
            folder, pid = Path(run_of(media).embeddings.path).parent, client.pid
            media.release()
        assert not folder.exists()
        assert not Path(f"/proc/{pid}").exists()
        assert client.held_bytes == 0

    asyncio.run(work())


def test_hostile_files_cost_no_process(tmp_path: Path) -> None:
    """All of them in one encoder, which answers a good image behind each."""

    async def work(client: EncoderClient) -> None:
        pid = client.pid
        for each in HOSTILE:
            try:
                (await read(client, each.make())).release()
            except MediaRefusedError as error:
                refusal = str(error)
            else:
                refusal = ""
            assert (each.reason or "") in refusal, each.name
            assert bool(each.reason) == bool(refusal), each.name
            (await read(client, image_file(7))).release()
        assert client.pid == pid

    run_with(config(tmp_path), work)


def test_an_end_in_mid_work_costs_that_image_alone(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        reading = [asyncio.create_task(read(client, image_file(seed))) for seed in range(3)]
        # The first is with the process, which stands still; the others wait.
        await until(lambda: client.num_waiting == 3)
        os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*reading, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert len(failed) == 1
        assert isinstance(failed[0], MediaFailedError)
        assert "signal 9" in str(failed[0])
        assert client.pid != pid
        for outcome in outcomes:
            if isinstance(outcome, EncodedMedia):
                outcome.release()

    run_with(config(tmp_path), work)


def test_an_end_between_images_costs_nothing(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: (sample := process_sample(pid)) is not None and sample.states == {"Z"})
        (await read(client, image_file(0))).release()

    run_with(config(tmp_path), work)


def test_an_image_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    options = dataclasses.replace(config(tmp_path), seconds=2.0)

    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        with pytest.raises(MediaFailedError, match="more than 2 seconds"):
            await read(client, image_file(0))
        (await read(client, image_file(1))).release()

    run_with(options, work)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """An image that the options allow and the memory does not is refused, and the process goes on."""
    options = dataclasses.replace(config(tmp_path), memory_bytes=48 << 20)

    async def work(client: EncoderClient) -> None:
        pid = client.pid
        large = image_file(np.zeros((5000, 5000, 3), np.uint8))
        with pytest.raises((MediaRefusedError, MediaFailedError), match="memory"):
            await read(client, large)
        assert client.pid == pid
        (await read(client, image_file(0))).release()

    run_with(options, work)


def test_who_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        reading = [asyncio.create_task(read(client, image_file(seed % 4))) for seed in range(8)]
        await until(lambda: client.num_waiting == 4 and client.num_begun == 1)
        for task in reading:
            task.cancel()
        os.kill(client.pid, signal.SIGCONT)
        await asyncio.gather(*reading, return_exceptions=True)
        # What had begun is finished and kept; nobody else had a turn.
        found = await read(client, image_file(0))
        assert client.held_bytes == run_of(found).embeddings.rows * EMBED * 4
        found.release()

    run_with(config(tmp_path), work)


def test_who_asks_for_what_somebody_has_just_left_gets_it(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        first = asyncio.create_task(read(client, image_file(0)))
        await until(lambda: client.num_begun == 1)
        left = asyncio.create_task(read(client, image_file(1)))
        await until(lambda: client.num_waiting == 2)
        left.cancel()
        await asyncio.sleep(0)
        again = asyncio.create_task(read(client, image_file(1)))
        await asyncio.sleep(0)
        os.kill(client.pid, signal.SIGCONT)
        for task in (first, again):
            (await task).release()
        with pytest.raises(asyncio.CancelledError):
            await left

    run_with(config(tmp_path), work)


def test_the_queue_is_bounded_and_one_key_leaves_room_for_others(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        many = [asyncio.create_task(read(client, image_file(seed), "many")) for seed in range(60)]
        await until(lambda: client.num_waiting == 48)
        other = asyncio.create_task(read(client, image_file(0), "other"))
        await until(lambda: client.num_waiting == 49)
        os.kill(client.pid, signal.SIGCONT)
        outcomes = await asyncio.gather(*many, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, MediaBusyError)]
        assert len(refused) == 12
        (await other).release()
        for outcome in outcomes:
            if isinstance(outcome, EncodedMedia):
                outcome.release()

    run_with(config(tmp_path), work)


def test_a_sound_is_heard(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        assert client.modalities == {"audio"}
        media, other = await read(client, sound_file()), await read(client, sound_file(seed=1))
        assert mapped(run_of(media)).std() > 0.1
        assert run_of(media).key != run_of(other).key
        media.release()
        other.release()
        pid = client.pid
        short = [sound_file(samples / 16_000) for samples in (0, 1, 2, 159, 1_500)]
        broken = [sound_file()[:-9], b"ID3" + bytes(90), b"\xff\xfb" + bytes(900), b"fLaC" + bytes(99)]
        for data in (*short, *broken, sound_file(61.0), image_file(0)):
            with pytest.raises(MediaRefusedError):
                await read(client, data)
        (await read(client, sound_file(0.1))).release()
        assert client.pid == pid
        with pytest.raises(MediaRefusedError, match="image"):
            await client.read(MediaInput(kind="image", data=image_file(0)), group="", param="input")

    run_with(config(tmp_path, "ultravox"), work)


def test_a_projector_that_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    options = config(tmp_path)
    write_tiny_projector(Path(options.projector_path), "llava", embed=EMBED + 32)
    with pytest.raises(EncoderStartError, match=r"n_embd = 64.*n_embd = 96") as caught:
        asyncio.run(EncoderClient(options).start())
    assert "\n" not in str(caught.value)


def test_what_requests_hold_is_bounded(tmp_path: Path) -> None:
    """Beyond four sizes of the cache, others wait until somebody has let go."""
    options = config(tmp_path)
    size = 64 * EMBED * 4
    options = dataclasses.replace(options, cache_bytes=size)

    async def work(client: EncoderClient) -> None:
        held = [
            await client.read(
                MediaInput(kind="image", data=image_file(seed)), group="", param="", owner=str(seed % 2)
            )
            for seed in range(5)
        ]
        with pytest.raises(MediaBusyError, match="hold too many"):
            await read(client, image_file(9))
        held.pop().release()
        held.append(await read(client, image_file(9)))
        for media in held:
            media.release()

    run_with(options, work)


def test_the_bound_of_what_is_held_counts_what_has_waited_meanwhile(tmp_path: Path) -> None:
    size = 64 * EMBED * 4
    options = dataclasses.replace(config(tmp_path), cache_bytes=size)

    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        reading = [
            asyncio.create_task(
                client.read(
                    MediaInput(kind="image", data=image_file(seed)), group="", param="", owner=str(seed % 2)
                )
            )
            for seed in range(12)
        ]
        await until(lambda: client.num_waiting == 12)
        os.kill(client.pid, signal.SIGCONT)
        outcomes = await asyncio.gather(*reading, return_exceptions=True)
        held = [outcome for outcome in outcomes if isinstance(outcome, EncodedMedia)]
        assert all(isinstance(each, EncodedMedia | MediaBusyError) for each in outcomes)
        assert 4 <= len(held) <= 6
        assert client.held_bytes <= 6 * size
        for media in held:
            media.release()

    run_with(options, work)


def test_one_key_leaves_others_room_for_what_they_hold(tmp_path: Path) -> None:
    size = 64 * EMBED * 4
    options = dataclasses.replace(config(tmp_path), cache_bytes=size)

    async def read_for(client: EncoderClient, owner: str, seed: int) -> EncodedMedia:
        media = MediaInput(kind="image", data=image_file(seed))
        return await client.read(media, group=owner, param="", owner=owner)

    async def work(client: EncoderClient) -> None:
        held = [await read_for(client, "much", seed) for seed in range(4)]
        with pytest.raises(MediaBusyError, match="hold too many"):
            await read_for(client, "much", 9)
        held.append(await read_for(client, "little", 9))
        for media in held:
            media.release()

    run_with(options, work)


def test_who_asks_for_what_another_has_just_left_has_it(tmp_path: Path) -> None:
    async def work(client: EncoderClient) -> None:
        assert client.pid is not None
        for turns in range(12):
            os.kill(client.pid, signal.SIGSTOP)
            first = asyncio.create_task(read(client, image_file(100 + turns)))
            await until(lambda: client.num_begun == 1)
            left = asyncio.create_task(read(client, image_file(turns)))
            await until(lambda: client.num_waiting == 2)
            left.cancel()
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            again = asyncio.create_task(read(client, image_file(turns)))
            os.kill(client.pid, signal.SIGCONT)
            (await again).release()
            (await first).release()
            with pytest.raises(asyncio.CancelledError):
                await left

    run_with(config(tmp_path), work)


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_projector_that_takes_forever_to_load_keeps_nobody(tmp_path: Path, is_closed: bool) -> None:
    async def work() -> None:
        options = config(tmp_path)
        os.unlink(options.projector_path)
        os.mkfifo(options.projector_path)
        client = EncoderClient(options)
        starting = asyncio.create_task(client.start())
        await until(lambda: client.pid is not None)
        pid = client.pid
        assert pid is not None
        if is_closed:
            await client.close()
        else:
            starting.cancel()
        with pytest.raises((asyncio.CancelledError, EncoderStartError)):
            await starting
        assert process_sample(pid) is None
        assert client.pid is None

    asyncio.run(work())
