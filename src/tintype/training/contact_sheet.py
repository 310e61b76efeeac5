"""Draw the contact sheet of a run: validation photographs in gray, predicted and true colors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tintype.color.spaces import gray_to_lightness, lab_to_rgb
from tintype.models.base import ColorModel
from tintype.training.augment import to_batch


def contact_sheet(model: ColorModel, rgb: Tensor, path: Path) -> None:
    """Write a PNG with one column per photograph: gray, predicted and true colors.

    Args:
        model: a model in evaluation mode.
        rgb: gamma-encoded photographs in [0, 1], (N, 3, H, W).
        path: path of the PNG, which is replaced atomically.
    """
    gray = to_batch(rgb).gray
    with torch.no_grad():
        ab = F.interpolate(model.predict(gray).float(), size=gray.shape[2:], mode="bilinear")
    planes = gray[:, 0].float().cpu().numpy()
    lab = np.concatenate(
        (gray_to_lightness(planes)[..., None], ab.permute(0, 2, 3, 1).cpu().numpy()), axis=-1
    )
    rows = (
        np.repeat(planes[..., None], 3, -1),
        np.clip(lab_to_rgb(lab), 0, 1),
        rgb.permute(0, 2, 3, 1).cpu().numpy(),
    )
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    temporary = path.with_name(f".{path.name}")
    try:
        Image.fromarray((sheet * 255 + 0.5).astype(np.uint8)).save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def fixed_photos(crops: Tensor, columns: int = 12) -> Tensor:
    """Return evenly spaced validation crops in [0, 1], (n, 3, H, W), of uint8 (N, 3, H, W)."""
    step = max(1, len(crops) // columns)
    return crops[::step][:columns].float() / 255
