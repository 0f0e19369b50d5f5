"""Images within URLs: which are read, and which are refused before a byte is decoded."""

import base64

import pytest
from caravan.media.reader import data_of_url, decoded
from caravan.media.values import MediaRefusedError

DATA = bytes(range(256))
WRITTEN = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64",
        "DATA:IMAGE/PNG;BASE64",
        "data:;base64",
        "data:image/jpeg;name=a.jpg;base64",
        "data:application/octet-stream;base64",
    ],
)
def test_data_urls_are_read(head: str) -> None:
    assert data_of_url(f"{head},{WRITTEN}", 256) == DATA


@pytest.mark.parametrize("size", [254, 255])
def test_a_byte_too_many_is_refused(size: int) -> None:
    with pytest.raises(MediaRefusedError, match=f"has more than {size} bytes"):
        decoded(WRITTEN, size)


def test_what_is_much_too_large_is_not_even_decoded() -> None:
    with pytest.raises(MediaRefusedError, match="has more than 10 bytes"):
        decoded("!" * 1000, 10)


def test_base64_may_come_in_lines() -> None:
    assert data_of_url(f"data:image/png;base64,{base64.encodebytes(DATA).decode()}", 256) == DATA
    assert decoded(WRITTEN.replace("A", "A\r\n"), 320) == DATA
    with pytest.raises(MediaRefusedError, match="is not valid Base64"):
        decoded(WRITTEN.replace("+", " "), 256)


@pytest.mark.parametrize("size", [3 * 2**16 - 1, 3 * 2**16, 3 * 2**16 + 1, 500_000])
def test_long_base64_is_decoded_in_slices(size: int) -> None:
    data = bytes(index * index % 251 for index in range(size))
    written = base64.b64encode(data).decode()
    assert decoded(written, size) == data
    assert decoded(base64.encodebytes(data).decode(), size) == data
    for broken in (written[:-1], written + "A", "AA==" + written, written[:262_140] + "AA==" + written[:8]):
        with pytest.raises(MediaRefusedError, match="is not valid Base64"):
            decoded(broken, 2 * size)


def test_padding_in_the_middle_is_refused_wherever_it_is() -> None:
    for before in range(262_130, 262_150):
        for lines in ("", "\n" * 7, "\n" * 600_000):
            with pytest.raises(MediaRefusedError, match="is not valid Base64"):
                decoded("A" * (before // 4 * 4) + lines + "AA==" + lines + "AAAA", 2**22)
