"""Make the pictures of the README: examples, gray beside the default model's colours.

python docs/gallery.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import tintype

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ("saratoga", "migrant-mother", "cameraman", "rocket")
SIDE = 320  # pixels of the squares that are shown


def main() -> None:
    """Write docs/images/NAME.jpg for each photograph of the gallery: its central square, twice."""
    colorizer = tintype.load()
    for name in PHOTOGRAPHS:
        photo = tintype.Photo.open(ROOT / "examples" / f"{name}.jpg")
        both = (photo.to_pil().convert("RGB"), colorizer.colorize(photo).to_pil())
        squares = [np.asarray(ImageOps.fit(image, (SIDE, SIDE))) for image in both]
        pair = Image.fromarray(np.hstack(squares))
        pair.save(ROOT / "docs" / "images" / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
