"""Engines one after the other, which have nothing in common but a folder."""

from pathlib import Path

from caravan.engine.kv.disk.chunks import WHOLE
from caravan.engine.kv.disk.disk_cache import DiskCache

from tests.engine.harness import Driver, Harness
from tests.fakes import FakeContext
from tests.waiting import PATIENCE

SIZE = 16


class Lives:
    """Engines one after the other, each with an empty memory and the folder of those before."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._disk: DiskCache | None = None

    def opened(
        self, root: bytes = bytes(16), *, keeps_private: bool = False, is_whole: bool = False
    ) -> DiskCache:
        """The folder, for an engine whose predecessor has let it go."""
        self.end()
        size = WHOLE if is_whole else SIZE
        self._disk = DiskCache(self.base, root, 1 << 30, keeps_private=keeps_private, chunk_size=size)
        return self._disk

    def begin(
        self, context: FakeContext | None = None, *, max_running: int = 8, keeps_private: bool = False
    ) -> Harness:
        """The next engine."""
        context = context or FakeContext()
        disk = self.opened(keeps_private=keeps_private, is_whole=context.ranges.is_whole)
        return Harness(context, disk=disk, max_running=max_running)

    def end(self) -> None:
        """Let the folder go."""
        if self._disk is not None:
            self._disk.close(PATIENCE)

    @property
    def num_files(self) -> int:
        return sum(1 for _ in self.base.rglob("*.kv"))


def rest(driver: Driver) -> None:
    """What an engine does that has nothing to do for long, without the pauses."""
    for _ in driver.engine._disk.rest():
        pass
    driver.check_books()
