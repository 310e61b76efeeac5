"""Make the pictures of the README: examples, gray beside the default model's colours.

python docs/gallery.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import tintype

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ("saratoga", "migrant-mother", "cameraman", "rocket")
HEIGHT = 320  # pixels


def main() -> None:
    """Write docs/images/NAME.jpg for each photograph of the gallery."""
    colorizer = tintype.load()
    for name in PHOTOGRAPHS:
        photo = tintype.Photo.open(ROOT / "examples" / f"{name}.jpg")
        both = [photo.to_pil().convert("RGB"), colorizer.colorize(photo).to_pil()]
        size = (round(HEIGHT * both[0].width / both[0].height), HEIGHT)
        pair = np.hstack([image.resize(size, Image.Resampling.LANCZOS) for image in both])
        Image.fromarray(pair).save(ROOT / "docs" / "images" / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
