"""How well small chroma is enlarged: python benchmarks/enlarge_chroma.py PHOTOS

PHOTOS is a folder of colour photographs of some 256 pixels, with chroma at full resolution. Their
true ab is averaged over squares, enlarged again by each method, and compared with the truth: root
mean square error over that of gray, of all pixels and of those near strong edges of chroma. No
network takes part, so this judges the enlargement alone. Last come CPU seconds for 12 megapixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.guided import (
    area_mean,
    enlarge,
    fit_coefficients,
    guided_filter,
    working_size,
)
from tintype.color.spaces import rgb_to_lab, rgb_to_luma
from tintype.evaluation.metrics import chroma_edge_mask

SHRINK = (4, 8, 16, 32)

Array = NDArray[np.float32]


def photographs(folder: Path, count: int) -> Iterator[Array]:
    """Yields evenly chosen photographs, their sides cut to a multiple of the largest shrinkage."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in Image.registered_extensions())
    for path in paths[:: max(1, len(paths) // count)][:count]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        rgb = np.divide(pixels, 255, dtype=np.float32)
        height, width = (side - side % max(SHRINK) for side in rgb.shape[:2])
        yield rgb[:height, :width]


def bicubic(chroma: Array, gray: Array) -> Array:
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(
            gray.shape[::-1], Image.Resampling.BICUBIC
        )
        for plane in np.moveaxis(chroma, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def guided_alone(chroma: Array, gray: Array) -> Array:
    return guided_filter(gray, bicubic(chroma, gray), gray.shape[0] // chroma.shape[0], 0.004)


def guided_enlargement(chroma: Array, gray: Array) -> Array:
    guide = area_mean(gray, working_size(chroma.shape, gray.shape))
    return enlarge(fit_coefficients(chroma, guide), gray, slice(0, len(gray)), gray.shape)


METHODS: dict[str, Callable[[Array, Array], Array]] = {
    "bicubic": bicubic,
    "guided filter alone": guided_alone,
    "guided enlargement": guided_enlargement,
}


def errors(photos: list[Array], shrink: int, method: Callable[[Array, Array], Array]) -> str:
    wrong = np.zeros(2)
    colour = np.zeros(2)
    for rgb in photos:
        gray, ab = rgb_to_luma(rgb), rgb_to_lab(rgb)[..., 1:]
        cells = gray.shape[0] // shrink, gray.shape[1] // shrink
        chroma = np.stack([area_mean(ab[..., c], cells) for c in range(2)], axis=-1)
        edges = chroma_edge_mask(ab)
        miss = np.sum((method(chroma, gray) - ab) ** 2, axis=-1)
        chroma_squared = np.sum(ab**2, axis=-1)
        wrong += miss.sum(), miss[edges].sum()
        colour += chroma_squared.sum(), chroma_squared[edges].sum()
    everywhere, at_edges = np.sqrt(wrong / colour)
    return f"{everywhere:.3f} {at_edges:.3f}"


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of three runs, so that another process's use of the cache counts less."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()

    photos = list(photographs(arguments.photos, arguments.count))
    print(f"{len(photos)} photographs; error over that of gray: all pixels, near edges")
    print(f"{'':20}", *(f"{'1/' + str(shrink):<12}" for shrink in SHRINK))
    for name, method in METHODS.items():
        print(f"{name:20}", *(f"{errors(photos, shrink, method):<12}" for shrink in SHRINK))

    random = np.random.default_rng(0)
    gray = random.integers(0, 256, (3000, 4000), dtype=np.uint8)
    chroma = random.normal(0, 10, (48, 64, 2)).astype(np.float32)
    guide = area_mean(gray, working_size(chroma.shape, gray.shape))
    guide *= np.float32(1 / 255)
    coefficients = fit_coefficients(chroma, guide)
    fitting = cpu_seconds(lambda: fit_coefficients(chroma, guide))
    enlarging = cpu_seconds(lambda: enlarge(coefficients, gray, slice(0, 3000), gray.shape))
    print(f"12 megapixels: fit {fitting:.3f} s, enlarge {enlarging:.3f} s")


if __name__ == "__main__":
    main()
