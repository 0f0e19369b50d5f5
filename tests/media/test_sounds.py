"""How long sounds are, by their headers."""

import struct

import pytest
from caravan.media.sounds import check_sound
from caravan.media.values import MediaRefusedError

from tests.media_files import sound_file


def flac(num_samples: int, rate: int = 44_100) -> bytes:
    """The header of a FLAC file that says it has so many samples."""
    fields = (rate << 44) | (15 << 36) | num_samples
    return b"fLaC\0\0\0\x22" + bytes(10) + fields.to_bytes(8, "big") + bytes(100)


def test_a_sound_within_the_limit_passes() -> None:
    check_sound(sound_file(1.0), max_seconds=1.0)
    check_sound(flac(44_100), max_seconds=1.0)
    check_sound(b"ID3" + bytes(1000), max_seconds=1.0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (sound_file(1.1), "longer than 1 seconds"),
        (flac((1 << 36) - 1), "longer than 1 seconds"),
        (flac(100, rate=1), "samples a second"),
        (flac(0), "how long"),
        (b"ID3" + bytes(100_000), "longer than 1 seconds"),
        (sound_file(0.5)[:-100], "ends before"),
        (sound_file(0.5, rate=8_000).replace(struct.pack("<I", 8_000), struct.pack("<I", 1), 1), "a second"),
        (b"RIFF" + bytes(4) + b"WAVE", "no samples"),
        (b"", "empty"),
        (b"OggS" + bytes(100), "WAV, MP3 and FLAC"),
        (b"fLaC" + bytes(10), "cut off"),
    ],
)
def test_others_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MediaRefusedError, match=reason):
        check_sound(data, max_seconds=1.0)
