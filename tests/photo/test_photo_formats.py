"""What comes in through each format and mode, and what goes out again."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from photo.saved import encoded, saved
from PIL import Image

from tintype.errors import PhotoError, UnreadablePhotoError
from tintype.photo import Photo
from tintype.photo.avif import is_high_bit_depth_avif

LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("WEBP", {"lossless": True, "exact": True}),
    ("BMP", {}),
]
if int(PIL.__version__.split(".")[0]) >= 13:  # earlier ones may come without Zstandard
    LOSSLESS.append(("TIFF", {"compression": "zstd"}))
LOSSY = ["JPEG", "WEBP", "AVIF"]


def colors(height: int = 21, width: int = 34) -> np.ndarray:
    """A picture of every hue, with noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 255 * (1 - x / width)]
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    return np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)


def image(mode: str) -> Image.Image:
    """A picture of a mode, with varied alpha where it has any."""
    rgb = Image.fromarray(colors())
    alpha = Image.fromarray(colors()[..., 0])
    if mode in ("LA", "RGBA"):
        base = rgb.convert(mode[:-1])
        base.putalpha(alpha)
        return base
    return rgb.quantize(50) if mode == "P" else rgb.convert(mode)


def coloured(photo: Photo) -> Photo:
    """The photograph in colours that no gray has."""
    rgb = np.repeat(photo.gray[..., None], 3, axis=2)
    rgb[..., 2] //= 2
    return photo.with_rgb(rgb)


MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"],
    "BMP": ["1", "L", "P", "RGB"],
    "WEBP": ["L", "LA", "P", "RGB", "RGBA"],
    "AVIF": ["L", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
}


@pytest.mark.parametrize(
    ("format", "how", "mode"), [(f, how, mode) for f, how in LOSSLESS for mode in MODES[f]]
)
def test_a_lossless_photograph_keeps_its_gray_alpha_and_format(
    format: str, how: dict[str, Any], mode: str
) -> None:
    source = image(mode)
    photo = Photo.open(encoded(source, format, **how))
    expected = source.convert("RGB").convert("L")
    np.testing.assert_array_equal(photo.gray, np.asarray(expected))
    assert (photo.format, photo.bit_depth) == (format, 8)

    result = coloured(photo)
    again = Image.open(io.BytesIO(saved(result)))
    assert again.format == format
    np.testing.assert_array_equal(np.asarray(again.convert("RGB")), result.rgb())
    if mode in ("LA", "RGBA"):
        alpha = np.asarray(source.getchannel("A"))
        np.testing.assert_array_equal(photo.alpha, alpha)
        np.testing.assert_array_equal(np.asarray(again.getchannel("A")), alpha)
    else:
        assert photo.alpha is None
    if format == "TIFF":
        assert again.info["compression"] == how.get("compression", "raw")


@pytest.mark.parametrize(("format", "mode"), [(f, mode) for f in LOSSY for mode in MODES[f]])
def test_a_lossy_photograph_keeps_its_lightness(format: str, mode: str) -> None:
    data = encoded(image(mode), format, quality=95)
    photo = Photo.open(data)
    expected = Image.open(io.BytesIO(data)).convert("RGB").convert("L")
    np.testing.assert_array_equal(photo.gray, np.asarray(expected))
    neutral = photo.with_rgb(np.repeat(photo.gray[..., None], 3, axis=2))
    again = Photo.open(saved(neutral))
    assert again.format == format
    difference = again.gray.astype(int) - photo.gray
    assert np.abs(difference).mean() < 2
    if photo.alpha is not None and again.alpha is not None:
        assert np.abs(again.alpha.astype(int) - photo.alpha).max() == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    how=st.sampled_from(LOSSLESS),
)
def test_the_pixels_of_any_8_bit_gray_picture_are_its_luminance(
    pixels: np.ndarray, how: tuple[str, dict[str, Any]]
) -> None:
    format, options = how
    photo = Photo.open(encoded(Image.fromarray(pixels), format, **options))
    np.testing.assert_array_equal(photo.gray, pixels)
    np.testing.assert_array_equal(photo.luminance(), pixels.astype(np.float32) / np.float32(255))
    again = Photo.open(saved(photo))
    np.testing.assert_array_equal(again.gray, pixels)
    assert again.kind == "gray"


def test_luminance_is_float32_from_zero_to_one() -> None:
    luminance = Photo.from_array(np.array([[0, 255]], dtype=np.uint8)).luminance()
    assert luminance.dtype == np.float32
    assert luminance.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(("format", "how"), [*LOSSLESS, *((name, {}) for name in LOSSY)])
def test_the_same_photograph_gives_the_same_bytes(format: str, how: dict[str, Any]) -> None:
    data = encoded(image("RGB"), format, **how)
    assert saved(coloured(Photo.open(data))) == saved(coloured(Photo.open(data)))


@pytest.mark.parametrize("source", ["PNG", "TIFF", "JPEG", "BMP"])
@pytest.mark.parametrize("target", ["PNG", "TIFF", "WEBP", "BMP", "JPEG", "AVIF"])
def test_every_format_goes_into_every_other(source: str, target: str) -> None:
    photo = coloured(Photo.open(encoded(image("L"), source)))
    again = Photo.open(saved(photo, target))
    assert again.format == target
    limit = 0 if target in ("PNG", "TIFF", "BMP") else 24
    assert np.abs(again.rgb().astype(int) - photo.rgb()).max() <= limit


def test_transparency_given_by_one_color_or_by_the_palette_is_alpha() -> None:
    gray = np.array([[10, 20], [30, 20]], dtype=np.uint8)
    photo = Photo.open(encoded(Image.fromarray(gray), "PNG", transparency=20))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[255, 0], [255, 0]]
    palette = image("P")
    photo = Photo.open(encoded(palette, "PNG", transparency=bytes(range(50))))
    np.testing.assert_array_equal(photo.alpha, np.asarray(palette))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparency_of_a_png_of_few_levels_is_alpha(depth: int) -> None:
    row = {1: 0b10_000000, 2: 0b11_01_0000, 4: 0xF5}[depth]  # the highest level, then another
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 2, 1, depth, 0, 0, 0, 0)}
    chunks |= {b"tRNS": struct.pack(">H", (1 << depth) - 1)}
    chunks |= {b"IDAT": zlib.compress(bytes([0, row])), b"IEND": b""}
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks.items():
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", zlib.crc32(kind + content))
    photo = Photo.open(data)
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 255]]


def test_an_avif_of_more_than_8_bits_is_noticed() -> None:
    data = encoded(image("L"), "AVIF", quality=95)
    at = data.index(b"av1C")
    deep = bytearray(data)
    deep[at + 6] |= 0x40  # high_bitdepth
    assert not is_high_bit_depth_avif(io.BytesIO(data))
    assert is_high_bit_depth_avif(io.BytesIO(bytes(deep)))
    assert not is_high_bit_depth_avif(io.BytesIO(data[: at + 5]))


def test_alpha_survives_bmp() -> None:
    photo = Photo.open(encoded(image("RGBA"), "PNG"))
    again = Photo.open(saved(photo, "BMP"))
    np.testing.assert_array_equal(again.alpha, photo.alpha)
    np.testing.assert_array_equal(again.rgb(), photo.rgb())


def test_jpeg_lays_a_transparent_photograph_over_white_and_says_so() -> None:
    rgba = np.zeros((8, 8, 4), dtype=np.uint8)
    rgba[:, 4:, 3] = 255
    file = io.BytesIO()
    notes = Photo.from_array(rgba).save(file, format="jpg")
    again = Photo.open(file.getvalue())
    assert any("white" in note for note in notes)
    assert again.gray[0, 0] > 250
    assert again.gray[0, 7] < 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    picture = np.zeros((16, 32), dtype=np.uint8)
    picture[:8, :8] = 255
    picture[8:, :8] = 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "AVIF" else {}
    data = encoded(Image.fromarray(picture), format, exif=exif.tobytes(), **how)
    upright = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: picture.T[:, ::-1],
        7: picture.T[::-1, ::-1],
        8: picture.T[::-1],
    }[orientation]
    photo = Photo.open(data)
    assert np.abs(photo.gray.astype(int) - upright).max() <= 6
    again = Photo.open(saved(coloured(photo)))
    assert again.gray.shape == upright.shape
    with Image.open(io.BytesIO(saved(coloured(photo)))) as written:
        assert written.getexif().get(0x0112, 1) == 1


def test_a_jpeg_keeps_its_quantisation_and_its_progression() -> None:
    data = encoded(image("RGB"), "JPEG", quality=60, progressive=True)
    source = Image.open(io.BytesIO(data))
    written = Image.open(io.BytesIO(saved(coloured(Photo.open(data)))))
    assert written.quantization == source.quantization
    assert written.info["progressive"]
    assert [layer[1:3] for layer in written.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_a_gray_jpeg_gets_the_chroma_steps_of_its_own_quality(quality: int) -> None:
    data = encoded(image("L"), "JPEG", quality=quality)
    written = Image.open(io.BytesIO(saved(coloured(Photo.open(data)))))
    in_color = Image.open(io.BytesIO(encoded(image("RGB"), "JPEG", quality=quality)))
    assert written.quantization == in_color.quantization


def test_a_photograph_of_another_format_becomes_a_jpeg_of_high_quality() -> None:
    written = Image.open(
        io.BytesIO(saved(coloured(Photo.open(encoded(image("L"), "PNG"))), "jpeg"))
    )
    expected = Image.open(io.BytesIO(encoded(image("RGB"), "JPEG", quality=95)))
    assert written.quantization == expected.quantization


def test_a_webp_stays_lossless_or_lossy() -> None:
    for lossless in (True, False):
        data = encoded(image("RGB"), "WEBP", lossless=lossless)
        assert (b"VP8L" in saved(coloured(Photo.open(data)))) is lossless


def test_a_lossless_photograph_becomes_a_lossless_webp() -> None:
    for format, lossless in (("PNG", True), ("TIFF", True), ("BMP", True), ("JPEG", False)):
        photo = coloured(Photo.open(encoded(image("RGB"), format)))
        assert (b"VP8L" in saved(photo, "webp")) is lossless


def test_a_bilevel_tiff_becomes_a_lossless_one() -> None:
    photo = Photo.open(encoded(image("1"), "TIFF", compression="group4"))
    written = Image.open(io.BytesIO(saved(coloured(photo))))
    assert written.info["compression"] == "tiff_adobe_deflate"


def test_gray_toned_and_color_are_told_apart() -> None:
    gray = colors()[..., 0]
    sepia = np.stack([gray * 0.95, gray * 0.8, gray * 0.6], axis=-1).astype(np.uint8)
    noisy = Image.open(io.BytesIO(encoded(Image.fromarray(sepia), "JPEG", quality=80)))
    assert Photo.from_array(gray).kind == "gray"
    assert Photo.from_pil(Image.fromarray(gray).convert("RGB")).kind == "gray"
    assert Photo.from_array(sepia).kind == "toned"
    assert Photo.from_pil(noisy).kind == "toned"
    assert Photo.from_array(colors()).kind == "color"


def test_a_stamp_in_color_makes_a_gray_picture_one_in_color() -> None:
    gray = np.random.default_rng(0).integers(40, 200, (600, 800, 1), dtype=np.uint8)
    scan = np.repeat(gray, 3, axis=2)
    scan[100:103, 100:103] = (200, 20, 20)  # a speck
    assert Photo.from_array(scan).kind == "gray"
    scan[300:330, 300:330] = (200, 20, 20)  # 0.2 % of the picture
    assert Photo.from_array(scan).kind == "color"


def yellowed(seed: int, fox: int = 0) -> np.ndarray:
    """A print whose paper is yellow here and nearly white there, with brown spots if asked for."""
    random = np.random.default_rng(seed)
    gray = Image.fromarray(random.integers(20, 240, (12, 15), np.uint8)).resize((300, 240), 3)
    amount = Image.fromarray(random.random((3, 3), np.float32)).resize((300, 240), 2)
    spots = np.zeros((240, 300))
    y, x = np.mgrid[:240, :300]
    for _ in range(fox):
        away = (y - random.uniform(0, 240)) ** 2 + (x - random.uniform(0, 300)) ** 2
        spots = np.maximum(spots, 0.8 * np.exp(-away / 30))
    paper = 1 - np.asarray(amount)[..., None] * (0.0, 0.16, 0.45)
    foxed = 1 - spots[..., None] * (0.25, 0.42, 0.6)
    return (np.asarray(gray)[..., None] * paper * foxed).astype(np.uint8)


@pytest.mark.parametrize("fox", [0, 40])
@pytest.mark.parametrize("seed", range(4))
def test_a_print_that_yellowed_unevenly_is_toned_and_that_is_said(seed: int, fox: int) -> None:
    photo = Photo.open(encoded(Image.fromarray(yellowed(seed, fox)), "JPEG", quality=88))
    assert photo.kind == "toned"
    assert "its toning varies" in "".join(photo.notes)
    assert photo.left_out == photo.notes  # for it may be in colour: not replaced in place


@pytest.mark.parametrize("kind", ["sunset", "sea", "tinted"])
def test_colors_of_one_mood_are_colors(kind: str) -> None:
    down, across = np.mgrid[:240, :300] / 240
    if kind == "sunset":  # from violet over red and orange to yellow, through clouds
        sky = np.stack([0.45 + 0.55 * down, 0.25 + 0.6 * down**2, 0.5 - 0.3 * down], -1)
        picture = sky * (0.7 + 0.3 * np.sin(9 * across + 5 * down))[..., None]
    elif kind == "sea":
        picture = (0.3 + 0.6 * down)[..., None] * np.stack(
            [1 - across / 2, 1 - across / 4, 1 + 0 * down], -1
        )
    else:  # a cheek in a yellowed print
        picture = yellowed(0) / 255
        picture[60:120, 60:120] *= (1.0, 0.7, 0.8)
    assert Photo.from_array((255 * picture).astype(np.uint8)).kind == "color"


def test_a_toned_picture_gives_its_luma() -> None:
    sepia = Image.new("RGB", (4, 4), (112, 66, 20))
    assert (Photo.open(encoded(sepia, "PNG")).gray == 75).all()


def test_colors_are_there_to_compare_with_unless_they_are_given_up() -> None:
    data = encoded(image("RGB"), "PNG")
    np.testing.assert_array_equal(Photo.open(data).rgb(), colors())
    without = Photo.open(data, keep_colors=False)
    assert without.kind == "color"
    with pytest.raises(PhotoError, match="keep_colors"):
        without.rgb()


def test_a_gray_photograph_is_three_times_its_gray() -> None:
    photo = Photo.open(encoded(image("L"), "PNG"))
    np.testing.assert_array_equal(photo.rgb()[..., 1], photo.gray)


def test_arrays_of_every_layout_and_type_are_taken() -> None:
    rgb = colors()
    assert Photo.from_array(rgb[..., 0]).gray.shape == rgb.shape[:2]
    assert Photo.from_array(rgb[..., :1]).gray.shape == rgb.shape[:2]
    assert Photo.from_array(rgb[..., :2]).alpha is not None
    np.testing.assert_array_equal(Photo.from_array(rgb[::-1]).rgb(), rgb[::-1])
    assert Photo.from_array(rgb[..., 0] > 100).gray.max() == 255
    assert Photo.from_array(rgb.astype(np.uint16) * 257).bit_depth == 16
    assert Photo.from_array([[0.0, 1.0]]).gray.tolist() == [[0, 65535]]
    for wrong in (np.zeros(3), np.zeros((0, 3)), np.full((2, 2), 1.5), np.zeros((2, 2, 5), "u1")):
        with pytest.raises(UnreadablePhotoError):
            Photo.from_array(wrong)
    with pytest.raises(UnreadablePhotoError, match="int64"):
        Photo.from_array(np.zeros((2, 2), dtype=np.int64))


def test_half_precision_and_any_byte_order_give_the_same_pixels() -> None:
    half = np.array([[0, 0.25, 1]], dtype=np.float16)
    assert Photo.from_array(half).gray.tolist() == [[0, 16384, 65535]]
    levels = np.array([[0, 258, 65535]], dtype=np.uint16)
    for order in (">u2", "<u2"):
        assert Photo.from_array(levels.astype(order)).gray.tolist() == levels.tolist()
    assert Photo.from_array(half.astype(">f8")).gray.tolist() == [[0, 16384, 65535]]


def test_an_array_or_an_image_of_the_caller_stays_as_it_was() -> None:
    array = colors()
    photo = Photo.from_array(array)
    array[:] = 0
    assert photo.rgb().max() > 200
    assert array.flags.writeable
    picture = image("RGB")
    before = picture.tobytes()
    Photo.from_pil(picture)
    assert picture.tobytes() == before


def test_pillow_images_bring_what_they_carry() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image("L"), "JPEG", exif=exif.tobytes(), dpi=(300, 300), quality=70)
    photo = Photo.from_pil(Image.open(io.BytesIO(data)))
    assert photo.gray.shape == (34, 21)
    assert photo.metadata.dpi == (300, 300)
    assert photo.encoding.luma_table is not None
    deep = Photo.from_pil(Image.fromarray(np.full((2, 2), 40000, dtype=np.uint16)))
    assert deep.gray[0, 0] == 40000
    with pytest.raises(UnreadablePhotoError, match="mode F"):
        Photo.from_pil(Image.new("F", (2, 2)))


def test_colors_of_another_shape_or_type_are_refused() -> None:
    photo = Photo.from_array(colors())
    for wrong in (colors(5, 5), colors().astype(np.float32), colors()[..., 0]):
        with pytest.raises(ValueError, match="colours for this photograph"):
            photo.with_rgb(wrong)


def test_a_colored_photograph_keeps_the_luminance_and_what_the_file_carries() -> None:
    photo = Photo.open(encoded(image("L"), "JPEG", dpi=(120, 120)))
    result = coloured(photo)
    assert result.gray is photo.gray
    assert result.metadata == photo.metadata
    assert result.kind == "color"
    with pytest.raises(ValueError, match="read-only"):
        result.rgb()[0, 0] = 1
    assert repr(result) == "Photo(34 × 21, 8-bit color, JPEG)"
