"""Files into pixels, good ones and those that are made to do harm."""

import numpy as np
import pytest
from caravan.media.images import pixels_of
from caravan.media.values import MediaRefusedError
from PIL import Image

from tests.media_files import HOSTILE, Hostile, animated, image_file, picture, turned

MAX_PIXELS = 40_000_000


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_pixels_are_those_of_the_file(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = image_file(picture(3), kind, **options)
    np.testing.assert_array_equal(pixels_of(data, max_pixels=MAX_PIXELS), picture(3))


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_files_are_refused_or_right(hostile: Hostile) -> None:
    data = hostile.make()
    if hostile.reason is None:
        pixels = pixels_of(data, max_pixels=MAX_PIXELS)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        return
    with pytest.raises(MediaRefusedError, match=hostile.reason) as caught:
        pixels_of(data, max_pixels=MAX_PIXELS)
    assert len(str(caught.value)) < 300


def test_an_animation_is_its_first_frame() -> None:
    assert pixels_of(animated(), max_pixels=MAX_PIXELS)[12, 12].tolist() == [255, 0, 0]


def test_an_image_on_its_side_is_turned() -> None:
    pixels = pixels_of(turned(), max_pixels=MAX_PIXELS)
    assert pixels.shape == (48, 24, 3)
    assert pixels[4, 12, 0] > 200 > 50 > pixels[4, 12, 2]
    assert pixels[44, 12, 2] > 200 > 50 > pixels[44, 12, 0]


def test_sixteen_bits_keep_their_brightness() -> None:
    deep = image_file(Image.fromarray(np.full((8, 8), 0x8000, np.uint16)))
    assert pixels_of(deep, max_pixels=MAX_PIXELS)[0, 0].tolist() == [0x80] * 3


def test_cmyk_is_seen_in_its_colour() -> None:
    red = image_file(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(pixels_of(red, max_pixels=MAX_PIXELS)[4, 4].astype(int) - (255, 0, 0)).max() < 20


def test_what_is_transparent_is_white() -> None:
    clear = image_file(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert pixels_of(clear, max_pixels=MAX_PIXELS).min() == 255
    half = image_file(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))
    assert pixels_of(half, max_pixels=MAX_PIXELS)[0, 0].tolist() == [127] * 3


def test_large_images_are_made_smaller_by_whole_numbers() -> None:
    data = image_file(Image.new("RGB", (6000, 5000), (10, 200, 30)), "JPEG")
    pixels = pixels_of(data, max_pixels=MAX_PIXELS)
    assert pixels.shape == (2500, 3000, 3)


def test_little_detail_is_at_most_512_pixels() -> None:
    data = image_file(Image.new("RGB", (1000, 400)))
    assert pixels_of(data, max_pixels=MAX_PIXELS, detail="low").shape == (205, 512, 3)
    assert pixels_of(data, max_pixels=MAX_PIXELS, detail="high").shape == (400, 1000, 3)


def test_the_limit_of_pixels_is_that_of_the_header() -> None:
    data = image_file(Image.new("RGB", (100, 100)))
    assert pixels_of(data, max_pixels=10_000).shape == (100, 100, 3)
    with pytest.raises(MediaRefusedError, match="100 x 100 pixels; at most 9999"):
        pixels_of(data, max_pixels=9_999)


def scans(count: int) -> bytes:
    """A JPEG whose last scan, of a few bytes, is there so many times."""
    data = image_file(picture(1), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_of_many_scans_is_refused() -> None:
    """Each takes as long as decoding the whole: of 50 million pixels, a minute for some kilobytes."""
    assert pixels_of(scans(64), max_pixels=MAX_PIXELS).shape == picture(1).shape
    hidden = scans(40)[:-2] + b"\xff\x01" + scans(40)[2:]
    for data in (scans(65), hidden):
        with pytest.raises(MediaRefusedError, match="drawn over itself more than 64 times"):
            pixels_of(data, max_pixels=MAX_PIXELS)


def test_what_is_behind_a_jpeg_is_no_scan() -> None:
    pixels = pixels_of(scans(12) + b"\xff\xda" * 100, max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(pixels, pixels_of(scans(12), max_pixels=MAX_PIXELS))
