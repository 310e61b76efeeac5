"""How the profiles in src/tintype/photo are made: srgb.icc and srgb_gray.icc. No copyright.

python tests/photo/srgb.py
"""

from __future__ import annotations

import struct
from pathlib import Path

PHOTO = Path(__file__).parents[2] / "src/tintype/photo"
# The sRGB primaries and white adapted to the D50 of the profile connection space (Bradford).
PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
D50 = (0.96420, 1.0, 0.82491)
ADAPTATION = (1.04791, 0.02293, -0.05020, 0.02960, 0.99046, -0.01707, -0.00925, 0.01506, 0.75179)
CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def make_profile(name: str, space: str, curve: tuple[float, ...]) -> bytes:
    """Make a version 4 display profile with sRGB's primaries.

    Args:
        name: the description.
        space: ``"RGB "`` or ``"GRAY"``.
        curve: either (gamma,) or the five numbers g, a, b, c, d of a parametric curve:
            y = (ax + b)^g from x = d on, and cx below.
    """
    kind = {1: 0, 5: 3}[len(curve)]
    trc = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*curve)
    tags = {"desc": text_tag(name), "cprt": text_tag("No copyright"), "wtpt": xyz_tag(D50)}
    if space == "GRAY":
        tags["kTRC"] = trc
    else:
        tags |= {f"{c}XYZ": xyz_tag(xyz) for c, xyz in zip("rgb", PRIMARIES, strict=True)}
        tags |= {f"{c}TRC": trc for c in "rgb"}
        tags["chad"] = b"sf32" + bytes(4) + fixed(*ADAPTATION)
    offset = 128 + 4 + 12 * len(tags)
    table, body, places = b"", b"", {}
    for tag, data in tags.items():
        if data not in places:
            places[data] = offset + len(body)
            body += data.ljust(-(-len(data) // 4) * 4, b"\0")
        table += struct.pack(">4sII", tag.encode(), places[data], len(data))
    header = struct.pack(
        ">I4xI4s4s4s6H4s28x12s48x",
        offset + len(body),
        0x04300000,
        b"mntr",
        space.encode(),
        b"XYZ ",
        *(2026, 1, 1, 0, 0, 0),
        b"acsp",
        fixed(*D50),
    )
    return header + struct.pack(">I", len(tags)) + table + body


def xyz_tag(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + fixed(*values)


def text_tag(text: str) -> bytes:
    """Build a multi-localised text with the one record that is required."""
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def fixed(*values: float) -> bytes:
    """Numbers as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def made() -> dict[str, bytes]:
    """Both files."""
    return {
        "srgb.icc": make_profile("sRGB", "RGB ", CURVE),
        "srgb_gray.icc": make_profile("sRGB gray", "GRAY", CURVE),
    }


if __name__ == "__main__":
    for name, profile in made().items():
        (PHOTO / name).write_bytes(profile)
