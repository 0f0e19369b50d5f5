"""Pulling from a hub that is real HTTP: resumed, checked, split, refused."""

import contextlib
import random
from pathlib import Path

import pytest
from caravan.models.hub.names import parse_reference
from caravan.models.hub.pull import Part, PullError, pull
from huggingface_hub import constants

from tests.models.hub.standin import Hub

# More than the chunk that a download is read and written by.
CONTENT = random.Random(0).randbytes(25 << 20)
SMALL = b"GGUF small"


class Steps:
    """Sums up what a pull tells of itself."""

    def __init__(self) -> None:
        self.files: list[tuple[str, int]] = []
        self.count = 0

    def start(self, name: str, size: int) -> None:
        self.files.append((name, size))

    def advance(self, count: int) -> None:
        self.count += count


def bring(name: str, data_dir: Path) -> tuple[list[Path], Steps]:
    steps = Steps()
    return pull(parse_reference(name), None, data_dir, steps), steps


def test_a_model_comes_whole_and_only_once(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": b"no", "name-Q4_K_M.gguf": SMALL, "README.md": b"read"}
    files, steps = bring("org/name", tmp_path)
    assert files == [tmp_path / "models/org/name/name-Q4_K_M.gguf"]
    assert files[0].read_bytes() == SMALL
    assert (steps.files, steps.count) == ([("name-Q4_K_M.gguf", len(SMALL))], len(SMALL))
    assert bring("org/name", tmp_path)[1].files == []
    hub.repositories["org/name"]["name-Q4_K_M.gguf"] = SMALL.upper()
    bring("org/name", tmp_path)
    assert files[0].read_bytes() == SMALL.upper()


def test_a_split_model_comes_with_all_its_parts(hub: Hub, tmp_path: Path) -> None:
    parts = {f"Q8_0/name-Q8_0-0000{number}-of-00003.gguf": bytes([number]) * 100 for number in (1, 2, 3)}
    hub.repositories["org/name"] = parts
    files, steps = bring("org/name:q8_0", tmp_path)
    assert [file.read_bytes() for file in files] == list(parts.values())
    assert {file.parent for file in files} == {tmp_path / "models/org/name"}
    assert steps.count == 300


def test_a_projector_comes_along(hub: Hub, tmp_path: Path) -> None:
    names = ("name-Q8_0.gguf", "name-Q4_K_M.gguf", "mmproj-name-F32.gguf", "mmproj-name-F16.gguf")
    hub.repositories["org/name"] = {name: name.encode() for name in names}
    files, _ = bring("org/name:q8_0", tmp_path)
    assert [file.name for file in files] == ["name-Q8_0.gguf", "mmproj-name-F16.gguf"]
    assert files[1].read_bytes() == b"mmproj-name-F16.gguf"


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": CONTENT}
    hub.break_after, hub.breaks = {"name-Q8_0.gguf": 12 << 20}, 1
    files, steps = bring("org/name", tmp_path)
    assert files[0].read_bytes() == CONTENT
    assert steps.count == len(CONTENT)
    assert [wanted for wanted in hub.ranges if wanted]


def test_a_part_from_an_earlier_run_is_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": CONTENT}
    folder = tmp_path / "models/org/name"
    folder.mkdir(parents=True)
    part = folder / f"name-Q8_0.gguf.{hub.sha256('', CONTENT)[:12]}.part"
    part.write_bytes(CONTENT[: 10 << 20])
    files, steps = bring("org/name", tmp_path)
    assert hub.ranges == [f"bytes={10 << 20}-"]
    assert files[0].read_bytes() == CONTENT
    assert steps.count == len(CONTENT)
    assert not part.exists()


def test_a_part_that_is_wrong_is_found_out_and_removed(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": SMALL}
    folder = tmp_path / "models/org/name"
    folder.mkdir(parents=True)
    (folder / f"name-Q8_0.gguf.{hub.sha256('', SMALL)[:12]}.part").write_bytes(b"xxxx")
    with pytest.raises(PullError, match=r"name-Q8_0\.gguf did not arrive .* checksum is wrong"):
        bring("org/name", tmp_path)
    assert list(folder.iterdir()) == []
    assert bring("org/name", tmp_path)[0][0].read_bytes() == SMALL


def test_a_checksum_that_never_fits(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": SMALL}
    hub.checksums["name-Q8_0.gguf"] = "0" * 64
    with pytest.raises(PullError, match="checksum is wrong"):
        bring("org/name", tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))


def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PullError, match=r"has no org/none, or it is private \(set HF_TOKEN"):
        bring("org/none", tmp_path)
    hub.repositories["org/name"] = {"name-Q8_0.gguf": SMALL, "name-Q2_K.gguf": SMALL}
    with pytest.raises(PullError, match=r"^org/name: there is no 'Q4_0', but Q2_K, Q8_0$"):
        bring("org/name:Q4_0", tmp_path)
    hub.gated.add("org/name")
    with pytest.raises(PullError, match=f"org/name is gated: accept its terms at {hub.endpoint}/org/name"):
        bring("org/name", tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PullError, match="HF_HUB_OFFLINE is set"):
        bring("org/name", tmp_path)


def test_a_token_is_sent(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories["org/name"] = {"name-Q8_0.gguf": SMALL}
    bring("org/name", tmp_path)
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_disk_without_room_is_said_before_anything_comes(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": SMALL}
    hub.sizes["name-Q8_0.gguf"] = 10**18
    with pytest.raises(PullError, match=r"^1000000000\.0 GB are still to come, and .* GB free"):
        bring("org/name", tmp_path)
    assert hub.ranges == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_runs_full_on_the_way(tmp_path: Path) -> None:
    with (
        contextlib.closing(Part(tmp_path / "model.gguf", 9, None, lambda _: None)) as part,
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        part._file.close()
        part._file = full
        with pytest.raises(PullError, match=r"the disk of .* is full"):
            part.write(SMALL)
