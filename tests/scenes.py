"""Small colour photographs, drawn, and shards of them."""

import io
import tarfile

import numpy as np
from PIL import Image

from tintype.color.spaces import gray_to_lightness, rgb_to_lab


def scene(seed, height=72, width=90):
    """A photograph of sorts: a blue gradient above a green one, with a red disc."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    rgb = np.empty((height, width, 3))
    horizon = random.integers(height // 4, 3 * height // 4)
    shade = 0.5 + 0.5 * y / height + 0.1 * random.standard_normal((height, width))
    rgb[:] = shade[..., None] * (0.3, 0.5, 0.9)
    rgb[horizon:] = shade[horizon:, :, None] * (0.3, 0.6, 0.2)
    cy, cx, r = random.integers(10, height - 10), random.integers(10, width - 10), 12
    rgb[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = (0.8, 0.2, 0.15)
    return Image.fromarray((rgb.clip(0, 1) * 255).astype(np.uint8))


def gray_levels(rgb):
    """The gray levels that have the lightness of sRGB, on its scale: integers, or in [0, 1]."""
    top = np.iinfo(rgb.dtype).max if rgb.dtype.kind == "u" else 1
    gray = np.linspace(0, 1, 65536)
    return top * np.interp(rgb_to_lab(rgb / np.float64(top))[..., 0], gray_to_lightness(gray), gray)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write_shard(path, files):
    """A tar shard of (name, bytes), gzipped where its name says so."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
