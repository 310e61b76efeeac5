"""Colour profiles: gray and colour pictures into sRGB, and the profiles written."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from photo.saved import chunk, encoded, saved, with_chunks
from photo.srgb import PHOTO, made, make_profile
from PIL import Image, ImageCms

from tintype.photo import Photo
from tintype.photo.profiles import (
    gray_to_srgb_table,
    image_to_srgb,
    samples_to_srgb,
    srgb_gray_profile,
    srgb_profile,
)

# Primaries of Adobe RGB (1998), adapted to D50: ICC profile of that name.
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(space: str, tags: dict[str, bytes], pcs: str = "XYZ ", version: int = 2) -> bytes:
    """An ICC profile of some tags."""
    tags = {"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249), **tags}
    table, body, offset = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag.encode(), offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xB3x4s4s4s12x4s28x", offset + len(body), version, b"scnr",
                       space.encode(), pcs.encode(), b"acsp")  # fmt: skip
    return head + fixed(0.9642, 1, 0.8249) + bytes(48) + struct.pack(">I", len(tags)) + table + body


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def table(values: np.ndarray) -> bytes:
    levels = np.rint(values * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(levels)) + levels.tobytes()


def text(name: str) -> bytes:
    """A description as version 2 profiles have it."""
    encoded = name.encode() + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(encoded)) + encoded + bytes(78)


def gray_profile(curve: bytes, pcs: str = "XYZ ") -> bytes:
    return profile("GRAY", {"desc": text("my gray"), "kTRC": curve}, pcs)


def matrix_profile(curve: bytes, primaries: tuple = ADOBE_RGB) -> bytes:
    tags = {f"{c}TRC": curve for c in "rgb"}
    tags |= {
        f"{c}XYZ": b"XYZ " + bytes(4) + fixed(*v) for c, v in zip("rgb", primaries, strict=True)
    }
    return profile("RGB ", {"desc": text("wide"), **tags})


def lab_of(linear: np.ndarray) -> np.ndarray:
    xyz = linear @ np.array(ADOBE_RGB) / (0.9642, 1, 0.8249)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    return np.clip(lab, (0, -128, -128), (100, 127, 127))


def table_profile(kind: str, power: float, points: int = 33) -> bytes:
    """A profile that says by tables what a matrix profile of a gamma would say."""
    axis = np.linspace(0, 1, points)
    lab = lab_of(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) ** power)
    head = bytes(4) + bytes([3, 3, points, 0])
    identity = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    if kind == "mft2":
        values = np.rint(lab * (652.8, 256, 256) + (0, 32768, 32768)).astype(">u2").tobytes()
        ends = np.array([0, 65535] * 3, dtype=">u2").tobytes()
        data = b"mft2" + head + identity + struct.pack(">HH", 2, 2) + ends + values + ends
    elif kind == "mft1":
        values = np.rint(lab * (2.55, 1, 1) + (0, 128, 128)).astype(np.uint8).tobytes()
        ends = bytes(range(256)) * 3
        data = b"mft1" + head + identity + ends + values + ends
    else:
        values = np.rint((lab * (2.55, 1, 1) + (0, 128, 128)) * 257).astype(">u2").tobytes()
        curves = 3 * (b"para" + bytes(4) + struct.pack(">HHi", 0, 0, 65536))
        grid = bytes([points] * 3) + bytes(13) + bytes([2, 0, 0, 0]) + values
        offsets = struct.pack(">5I", 32, 0, 0, 32 + 2 * len(curves), 32 + len(curves))
        data = b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + offsets + curves + curves + grid
    tags = {"desc": text("tables"), "A2B0": data}
    return profile("RGB ", tags, "Lab ", 4 if kind == "mAB" else 2)


def png(pixels: np.ndarray, icc: bytes) -> Photo:
    return Photo.open(encoded(Image.fromarray(pixels), "PNG", icc_profile=icc))


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(
        linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear
    )


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLORS = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def test_a_gray_gamma_is_converted_to_the_curve_of_srgb() -> None:
    photo = png(RAMP, gray_profile(gamma(1.8)))
    expected = np.rint(255 * srgb_encoded((RAMP / 255) ** (461 / 256)))
    np.testing.assert_array_equal(photo.gray, expected)
    assert photo.gray[8, 0] == 146  # 128: (128 / 255)^1.8 = 0.289, in sRGB 0.574
    assert photo.profile == "my gray"


def test_dot_gain_is_converted() -> None:
    # Ink spreads: half of the dots cover 70 % of the paper.
    ink = np.linspace(1, 0, 256)
    paper = 1 - np.clip(ink + 0.2 * 4 * ink * (1 - ink), 0, 1)
    photo = png(RAMP, gray_profile(table(paper)))
    expected = np.rint(255 * srgb_encoded(paper[RAMP]))
    assert np.abs(photo.gray - expected).max() <= 1
    assert photo.gray[8, 0] == pytest.approx(255 * srgb_encoded(np.array(0.3016)), abs=1)


def test_a_gray_profile_may_speak_of_lightness() -> None:
    photo = png(RAMP, gray_profile(gamma(1.0), pcs="Lab "))
    lightness = RAMP / 255 * 100
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    assert np.abs(photo.gray - 255 * srgb_encoded(light)).max() <= 0.51


def test_16_bit_gray_is_converted_at_16_bits() -> None:
    levels = np.arange(0, 65536, 7, dtype=np.uint16).reshape(1, -1)
    icc = gray_profile(gamma(1.8))
    photo = Photo.open(encoded(Image.fromarray(levels), "TIFF", icc_profile=icc))
    expected = 65535 * srgb_encoded((levels / 65535) ** (461 / 256))
    assert np.abs(photo.gray - expected).max() <= 1
    assert len(np.unique(photo.gray)) > 8000


@pytest.mark.parametrize("icc", [gray_profile(gamma(2.2)), matrix_profile(gamma(2.2))])
def test_a_gray_picture_goes_by_a_color_profile_too(icc: bytes) -> None:
    photo = png(RAMP, icc)
    expected = 255 * srgb_encoded((RAMP / 255) ** (563 / 256))
    assert np.abs(photo.gray - expected).max() <= 1


def test_wide_colors_are_converted_as_little_cms_does() -> None:
    icc = matrix_profile(gamma(2.2))
    photo = png(COLORS, icc)
    linear = (COLORS / 255.0) ** (563 / 256) @ np.array(ADOBE_RGB)
    to_srgb = np.linalg.inv(
        [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]]
    )
    expected = 255 * srgb_encoded(np.clip(linear @ to_srgb, 0, 1))
    assert np.abs(photo.rgb() - expected).max() <= 2
    assert np.abs(photo.gray - expected @ (0.299, 0.587, 0.114)).max() <= 1.5
    assert photo.profile == "wide"


@pytest.mark.parametrize(
    "icc",
    [
        matrix_profile(gamma(1.0)),
        matrix_profile(table(np.linspace(0, 1, 64) ** 1.8)),
        table_profile("mft2", 2.2),
        table_profile("mft1", 2.2),
        table_profile("mAB", 2.2),
    ],
    ids=["linear", "curve", "mft2", "mft1", "mAB"],
)
def test_16_bit_color_is_converted_as_8_bit_color_is(icc: bytes) -> None:
    samples = COLORS.astype(np.uint16) * 257
    samples_to_srgb(samples, icc)
    converted = np.asarray(image_to_srgb(Image.fromarray(COLORS), icc))
    difference = np.abs(samples / 257 - converted)
    assert np.quantile(difference, 0.98) <= 2
    assert difference.mean() <= 0.5


def test_16_bit_color_is_converted_at_16_bits() -> None:
    # A scanner's linear values, in the shadows, where 8 bits would leave a handful of levels.
    levels = np.arange(0, 2000, dtype=np.uint16)
    samples = np.repeat(levels[None, :, None], 3, axis=2)
    samples_to_srgb(samples, matrix_profile(gamma(1.0)))
    expected = 65535 * srgb_encoded(levels / 65535)
    assert np.abs(samples[0, :, 1] - expected).max() <= 12  # the profile's white is not quite D50
    assert len(np.unique(samples[0, :, 1])) == 2000


def test_a_gamma_without_a_profile_is_honoured() -> None:
    data = encoded(Image.fromarray(RAMP), "PNG")
    for value in (45455, 55556, 1, 0xFFFFFFFF):  # the last two are no picture's
        marked = with_chunks(data, chunk(b"gAMA", struct.pack(">I", value)))
        expected = np.rint(255 * srgb_encoded((RAMP / 255) ** 1.8)) if value == 55556 else RAMP
        assert np.abs(Photo.open(marked).gray - expected).max() <= (value == 55556)


def test_a_picture_in_srgb_stays_as_it_is() -> None:
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (lcms, srgb_profile()):
        np.testing.assert_array_equal(png(COLORS, icc).rgb(), COLORS)
        np.testing.assert_array_equal(png(RAMP, icc).gray, RAMP)
        assert png(RAMP, icc).profile is None
    np.testing.assert_array_equal(png(RAMP, srgb_gray_profile()).gray, RAMP)


@pytest.mark.parametrize("icc", [b"nonsense", srgb_profile()[:200], gray_profile(b"curv")])
@pytest.mark.parametrize("pixels", [RAMP, COLORS], ids=["gray", "color"])
def test_a_broken_profile_is_said_and_the_picture_read_as_srgb(
    icc: bytes, pixels: np.ndarray
) -> None:
    photo = png(pixels, icc)
    assert any("profile cannot be used" in note for note in photo.notes)
    np.testing.assert_array_equal(
        photo.rgb()[..., 0], pixels if pixels.ndim == 2 else pixels[..., 0]
    )


def test_cmyk_without_a_profile_is_said() -> None:
    photo = Photo.open(encoded(Image.fromarray(COLORS).convert("CMYK"), "TIFF"))
    assert any("CMYK" in note for note in photo.notes)


def test_cmyk_goes_through_its_profile() -> None:
    # One ink matters here: black, which a table turns into lightness.
    lab = [(100 * (1 - k), 0, 0) for _ in range(8) for k in (0, 1)]
    values = np.rint(np.array(lab) * (652.8, 256, 256) + (0, 32768, 32768)).astype(">u2").tobytes()
    four = np.array([0, 65535] * 4, dtype=">u2").tobytes()
    three = np.array([0, 65535] * 3, dtype=">u2").tobytes()
    head = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    data = head + struct.pack(">HH", 2, 2) + four + values + three
    icc = profile("CMYK", {"desc": text("ink"), "A2B0": data}, "Lab ")
    image = Image.new("CMYK", (2, 1))
    image.putpixel((1, 0), (200, 0, 0, 128))
    photo = Photo.open(encoded(image, "TIFF", icc_profile=icc))
    assert photo.profile == "ink"
    assert photo.gray[0, 0] == 255
    # L* of 100 (1 - 128 / 255) = 49.8, which in sRGB is 118.
    assert abs(int(photo.gray[0, 1]) - 118) <= 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_written_says_that_it_is_srgb(format: str, depth: int) -> None:
    pixels = COLORS if depth == 8 else COLORS.astype(np.uint16) * 257
    for photo in (Photo.from_array(pixels), Photo.from_array(pixels[..., 0])):
        written = saved(photo, format)
        image = Image.open(io.BytesIO(written))
        assert image.info["icc_profile"][16:20] == (b"RGB " if "RGB" in image.mode else b"GRAY")
        again = Photo.open(written)
        assert again.profile is None
        assert again.notes == ()


def test_our_profiles_are_what_little_cms_takes_for_srgb() -> None:
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    ours = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert ours.profile.profile_description == "sRGB"
    transform = ImageCms.ImageCmsTransform(ours, lcms, "RGB", "RGB")
    converted = np.asarray(transform.apply(Image.fromarray(COLORS)))
    assert np.abs(converted.astype(int) - COLORS).max() <= 1
    gray = ImageCms.ImageCmsProfile(io.BytesIO(srgb_gray_profile()))
    transform = ImageCms.ImageCmsTransform(gray, lcms, "L", "RGB")
    converted = np.asarray(transform.apply(Image.fromarray(RAMP)))[..., 1]
    assert np.abs(converted.astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("kind", range(5))
def test_every_kind_of_parametric_curve_is_known(kind: int) -> None:
    numbers = [
        (2.0,),
        (2.0, 0.9, 0.1),
        (2.0, 0.8, 0.1, 0.05),
        (2.4, 0.9479, 0.0521, 0.0774, 0.0405),
    ]
    numbers.append((2.0, 0.8, 0.1, 0.3, 0.1, 0.05, 0.01))
    curve = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*numbers[kind])
    icc = gray_profile(curve)
    gray = gray_to_srgb_table(icc, 256)
    lcms = ImageCms.ImageCmsTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        "L",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    expected = np.asarray(lcms.apply(Image.fromarray(RAMP)))[..., 1].reshape(-1).astype(int)
    measured = np.arange(256) if gray is None else gray
    # Little CMS bends curves at their ends to meet black and white; in between they are the same.
    assert np.abs(measured - expected)[40:240].max() <= 1


def test_a_profile_of_any_gamma_can_be_made() -> None:
    icc = make_profile("mine", "GRAY", (2.0,))
    gray = gray_to_srgb_table(icc, 65536)
    assert gray is not None
    assert gray[32768] == pytest.approx(65535 * srgb_encoded(np.array(0.25)), abs=2)


def test_the_written_profiles_are_made_as_they_say() -> None:
    for name, icc in made().items():
        assert (PHOTO / name).read_bytes() == icc


# Oracle: the conversion to XYZ by the primaries and white of BT.2020 and Display P3, and to sRGB.
SPACES = {9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
          12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
          1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))}  # fmt: skip


def to_xyz(primaries: int) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in SPACES[primaries]]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("primaries", "transfer"), [(9, 13), (12, 13), (12, 4), (1, 8)])
def test_a_png_of_another_space_is_converted(primaries: int, transfer: int, deep: bool) -> None:
    levels = np.random.default_rng(0).uniform(0.45, 0.6, (16, 16, 3))
    pixels = np.rint(levels * 65535).astype(np.uint16) if deep else np.rint(levels * 255)
    photo = Photo.from_array(pixels if deep else pixels.astype(np.uint8))
    data = saved(photo, "PNG")
    at, end = data.index(b"iCCP") - 4, data.index(b"IDAT") - 4
    chunk = b"cICP" + bytes([primaries, transfer, 0, 1])
    sized = b"\0\0\0\4" + chunk + struct.pack(">I", zlib.crc32(chunk))
    read = Photo.open(data[:at] + sized + data[end:])
    gamma = {4: 2.2, 8: 1.0}.get(transfer)
    linear = levels**gamma if gamma else ((levels + 0.055) / 1.055) ** 2.4
    light = linear @ (np.linalg.inv(to_xyz(1)) @ to_xyz(primaries)).T
    expected = 1.055 * np.clip(light, 0.0031308, 1) ** (1 / 2.4) - 0.055
    assert read.notes == ()
    assert (read.profile or "").startswith({9: "BT.2020", 12: "Display P3", 1: "sRGB"}[primaries])
    white = 65535 if deep else 255
    np.testing.assert_allclose(read.rgb() / white, expected, atol=0.002 if deep else 0.008)
