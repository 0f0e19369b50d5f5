"""Files of sounds: how long they are, looked at before anything is decoded. Runs in the encoder's process.

libmtmd decodes them, and takes as much memory as their headers say.
"""

import struct
from typing import NamedTuple

from caravan.media.values import MediaRefusedError

# Samples a second; a header that says less makes hours of kilobytes.
_LEAST_RATE = 4_000
_MOST_RATE = 384_000
# libmtmd ends its process over a few samples. OpenAI's limit.
_LEAST_SECONDS = 0.1
_WHAT = "WAV, MP3 and FLAC"
# MPEG's lowest, in bytes a second: for a bound of how long a file can be.
_LEAST_MP3_BYTES = 1_000


class _Format(NamedTuple):
    """What a WAV file says of its samples."""

    channels: int
    rate: int
    bits: int


def check_sound(data: bytes, *, max_seconds: float) -> None:
    """Raise MediaRefusedError over a file that is no known sound, or may be longer than allowed."""
    if not data:
        raise MediaRefusedError("is empty")
    if len(data) < 12:
        raise MediaRefusedError("is broken: it is too short for a sound")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        seconds = _seconds_of_wav(data)
    elif data[:4] == b"fLaC":
        seconds = _seconds_of_flac(data)
    elif data[:3] == b"ID3" or (data[0] == 0xFF and data[1] & 0xE0 == 0xE0):
        # Only decoding tells; it cannot be longer than at the lowest rate.
        seconds = 0.0 if len(data) <= max_seconds * 24 * _LEAST_MP3_BYTES else max_seconds + 1
    else:
        raise MediaRefusedError(f"is no sound that is known here; {_WHAT} can be read")
    _check_length(seconds, max_seconds)


def check_decoded(seconds: float, max_seconds: float) -> None:
    """Raise MediaRefusedError over a sound that is too long, or too short."""
    if seconds < _LEAST_SECONDS:
        raise MediaRefusedError(f"is shorter than {_LEAST_SECONDS:g} seconds, the least that is read")
    _check_length(seconds, max_seconds)


def _check_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise MediaRefusedError(f"is longer than {max_seconds:g} seconds, the most that is read")


def _seconds_of_wav(data: bytes) -> float:
    place, found = 12, None
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if name == b"fmt " and size >= 16 and place + 16 <= len(data):
            _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, place)
            found = _Format(channels, rate, bits)
        elif name == b"data":
            if found is None or not found.channels or not found.bits:
                raise MediaRefusedError("is broken: its header says nothing of its samples")
            _check_rate(found.rate)
            if size > len(data) - place:
                raise MediaRefusedError("is broken: it ends before its samples do")
            return size * 8 / (found.channels * found.bits * found.rate)
        place += size + size % 2
    raise MediaRefusedError("is broken: it has no samples")


def _seconds_of_flac(data: bytes) -> float:
    # The block that comes first: after sizes of 10 bytes, 20 bits of rate, 8 of others, 36 of samples.
    if len(data) < 26 or data[4] & 0x7F:
        raise MediaRefusedError("is broken: its header is cut off")
    fields = int.from_bytes(data[18:26], "big")
    rate, num_samples = fields >> 44, fields & ((1 << 36) - 1)
    _check_rate(rate)
    if not num_samples:
        raise MediaRefusedError("does not say how long it is")
    return num_samples / rate


def _check_rate(rate: int) -> None:
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise MediaRefusedError(f"has {rate} samples a second; {_LEAST_RATE} to {_MOST_RATE} can be read")
