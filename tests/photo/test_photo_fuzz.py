"""Mutated photographs: each gives a picture that can be saved, or an error of ours, in time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from photo.saved import BROKEN, encoded, saved, scene
from PIL import Image

from tintype.errors import TintypeError
from tintype.photo import Photo

SEEDS, MUTANTS = 20, 1000
SECONDS = 5.0
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("AVIF", {}),
    ("BMP", {}),
    ("GIF", {}),
    ("JPEG2000", {}),
]


def seeds() -> list[bytes]:
    """Small photographs of every format and depth, and those that broke something once."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Kodak"
    files = [path.read_bytes() for path in sorted(BROKEN.iterdir())]
    small = scene("L", (56, 40))
    for format, how in KINDS:
        more = {} if format in ("BMP", "GIF", "JPEG2000") else {"exif": exif.tobytes()}
        for mode in ("L", "RGB"):
            files.append(encoded(small.convert(mode), format, **how, **more))
    random = np.random.default_rng(0)
    for format in ("PNG", "TIFF"):
        for channels in (1, 2, 3, 4):
            pixels = random.integers(0, 65536, (40, 56, channels), dtype=np.uint16)
            files.append(saved(Photo.from_array(pixels), format))
    return files


def mutant(whole: bytes, random: np.random.Generator) -> bytes:
    """Change, repeat, cut out or cut off a few bytes, most of them where the structure is."""
    data = bytearray(whole)
    for _ in range(random.integers(1, 8)):
        if len(data) < 2:
            break
        share = random.random() ** 2
        at = int((share if random.random() < 0.6 else 1 - share) * (len(data) - 1))
        kind = random.integers(6)
        if kind == 0:
            data[at] = random.integers(256)
        elif kind == 1:
            data[at] ^= 1 << random.integers(8)
        elif kind == 2:
            data[at : at + 4] = bytes([random.choice([0, 1, 127, 128, 255])]) * 4
        elif kind == 3 and len(data) > 40:
            del data[at : at + random.integers(1, 64)]
        elif kind == 4:
            data[at:at] = data[max(0, at - random.integers(1, 64)) : at]
        elif kind == 5 and random.random() < 0.3:
            del data[max(at, 30) :]
    return bytes(data)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mutant_gives_a_picture_or_an_error_of_ours(seed: int) -> None:
    files, random = seeds(), np.random.default_rng(seed)
    for number in range(MUTANTS):
        data = mutant(files[random.integers(len(files))], random)
        started = time.perf_counter()
        try:
            photo = Photo.open(data, max_pixels=1_000_000)
            Photo.open(saved(photo))
        except TintypeError:
            pass
        except Exception as error:
            raise AssertionError(f"mutant {number} of seed {seed}: {data!r}") from error
        assert time.perf_counter() - started < SECONDS, f"mutant {number} of seed {seed}"
