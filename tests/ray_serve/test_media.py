"""Images cross to a replica as bytes, and lie in a file there as long as their request runs."""

import asyncio
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.media.values import MediaRun, SharedEmbeddings
from caravan.media.memory_files import MemoryFolder
from caravan.ray_serve import wire
from caravan.ray_serve.engine_host import EngineHost
from caravan.ray_serve.media import MediaFiles, packed
from caravan.ray_serve.wire import Route
from msgspec.structs import replace

from tests.engine.harness import request

IMAGE = bytes(range(64))


def run_in(path: Path, start: int) -> MediaRun:
    where = SharedEmbeddings(path=str(path), offset=0, rows=2, width=8)
    return MediaRun(
        start=start, num_cells=2, num_positions=2, key=bytes(16), is_causal=True, embeddings=where
    )


def test_embeddings_arrive_and_go(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_bytes(IMAGE)
    wanted = replace(request("r", [1, -1, -1, 2, -1, -1]), media=(run_in(here, 1), run_in(here, 4)))

    async def main() -> None:
        data = await packed(wanted)
        here.unlink()
        files = MediaFiles()
        try:
            async with files.unpacked(data) as found:
                places = {Path(run.embeddings.path) for run in found.media}
                (place,) = places
                assert place.read_bytes() == IMAGE
                assert place != here
                assert [replace(run, embeddings=wanted.media[0].embeddings) for run in found.media] == list(
                    wanted.media
                )
            assert not place.exists()
        finally:
            files.close()
        assert not place.parent.exists()

    asyncio.run(main())


async def nobody(_: bytes) -> int:
    return 0


def test_a_machine_without_room_is_told_of(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_bytes(IMAGE)
    wanted = replace(request("r", [-1, -1]), media=(run_in(here, 0),))

    async def main() -> None:
        host = EngineHost(AsyncEngine(EngineConfig(model_path="none")), b"root", nobody)
        folder = host._media._folder = MemoryFolder(0, tmp_path)
        folder.path.joinpath("lock").unlink()
        folder.path.rmdir()
        frames = [wire.frame(each) async for each in host.generate(await packed(wanted), Route("r"))]
        host._media.close()
        (failed,) = frames
        assert isinstance(failed, wire.Failed)
        assert (failed.name, failed.retry_after, failed.is_lost) == ("MemoryShortError", 5, False)

    asyncio.run(main())


def test_text_alone_makes_no_files() -> None:
    wanted = request("r", [1, 2, 3])

    async def main() -> None:
        data = await packed(wanted)
        assert wire.sent(data).files == {}
        async with MediaFiles().unpacked(data) as found:
            assert found == wanted

    asyncio.run(main())
