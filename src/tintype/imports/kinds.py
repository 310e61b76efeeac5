"""The networks that can be imported: how each is recognised, and what its authors say of it.

The authors publish no checksums: those here are of their files as others publish them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tintype.errors import UnimportableError
from tintype.models.base import ColorModel
from tintype.models.published import ddcolor, deoldify, eccv16, siggraph17
from tintype.models.published.ddcolor import DDColor
from tintype.models.published.deoldify import DeOldify
from tintype.models.published.state import State, differences

_BSD = (
    "BSD-2-Clause, as its authors publish it with their code. Trained on ImageNet, whose "
    "photographs are for research."
)

_LARGE = 192  # channels of DDColor's first stage


@dataclass(frozen=True)
class Kind:
    """A published network.

    Attributes:
        system: the first half of the model's name, SYSTEM.TAG.
        tags: returns the tags for a network: first the one for weights that neither the checksum
            nor the name of the file tells, then those that the name may contain.
        key: the key by which its state dicts are recognised.
        load: makes the network from a state dict, its norms folded.
        keys: returns the keys of its state dicts, norms folded.
        licence: what its authors say.
        paper: its arXiv number; empty if there is none.
        sides: tag -> shorter side in pixels that these weights are given, if not the card's.
        largest: largest such side.
    """

    system: str
    tags: Callable[[Any], tuple[str, ...]]
    key: str
    load: Callable[[State], ColorModel]
    keys: Callable[[], list[str]]
    licence: str
    paper: str = ""
    sides: Mapping[str, int] = field(default_factory=dict)
    largest: int = 4096


def _ddcolor_tags(model: DDColor) -> tuple[str, ...]:
    tiny = model.config.channels[0] < _LARGE
    return ("tiny",) if tiny else ("large", "modelscope", "artistic", "paper")


def _deoldify_tags(model: DeOldify) -> tuple[str, ...]:
    return ("artistic",) if model.config.deep else ("wide", "stable", "video")


KINDS: dict[str, Kind] = {
    "eccv16": Kind(
        system="cic",
        tags=lambda model: ("eccv16",),
        key="model8.6.weight",
        load=eccv16.from_pytorch,
        keys=eccv16.published_keys,
        licence=_BSD,
        paper="1603.08511",
    ),
    "siggraph17": Kind(
        system="siggraph17",
        tags=lambda model: ("published",),
        key="model8up.0.weight",
        load=siggraph17.from_state,
        keys=siggraph17.published_keys,
        licence=_BSD,
        paper="1705.02999",
    ),
    "ddcolor": Kind(
        system="ddcolor",
        tags=_ddcolor_tags,
        key="encoder.arch.downsample_layers.0.0.weight",
        load=ddcolor.from_state,
        keys=ddcolor.published_keys,
        licence=(
            "Apache-2.0, as its authors publish it. Trained on ImageNet (artistic: and on private "
            "photographs)."
        ),
        paper="2212.11613",
    ),
    "deoldify": Kind(
        system="deoldify",
        tags=_deoldify_tags,
        key="layers.4.shuf.conv.0.weight",
        load=deoldify.from_state,
        keys=deoldify.published_keys,
        licence=(
            "MIT is the licence of its repository; the weights carry no terms of their own. "
            "Trained on ImageNet, whose photographs are for research."
        ),
        sides={"video": 336},  # its render factor of 21
        largest=1024,  # the cost of attention grows with the fourth power of the side
    ),
}

#: SHA-256 of a file -> its tag, and the name it was published under.
KNOWN: dict[str, tuple[str, str]] = {
    "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9": (
        *("eccv16", "colorization_release_v2-9b330a0b.pth"),
    ),
    "f5af1e602646328c792e1094f9876fe9cd4c09ac46fa886e5708a1abc89137b1": (
        *("eccv16", "colorization_release_v2.caffemodel"),
    ),
    "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66": (
        *("published", "siggraph17-df00044c.pth"),
    ),
    "17c460d7e55b32a598370621d77173be59e03c24b0823f06821db23a50c263ce": (
        *("modelscope", "ddcolor_modelscope.pth"),
    ),
    "a591ee5beedad36de703d8977e92d0c30c1eedc6453fd1b300f3b460842a23a9": (
        *("artistic", "ddcolor_artistic.pth"),
    ),
    "3f750246fa220529323b85a8905f9b49c0e5d427099185334d048fb5b5e22477": (
        *("artistic", "ColorizeArtistic_gen.pth"),
    ),
    "ca9cd7f43fb8b222c9a70f7b292e305a000694b0ff9d2ae4a6747b1a2e1ee5af": (
        *("stable", "ColorizeStable_gen.pth"),
    ),
    "e3d98bb6a222354c79f95485c2f078a89dc724e9183662506d9e0f5aafac83ad": (
        *("video", "ColorizeVideo_gen.pth"),
    ),
    "be026e17c47c85527b3084cacad352f7ca0e021c33aa827062c5997ebe72c61f": (
        *("artistic-onnx", "deoldify-art.onnx"),
    ),
    "35c3fb7ec52122e30e98ed03fa5082b175d0beb7951d62f8bc2178870229e44a": (
        *("quantized-onnx", "deoldify-quant.onnx"),
    ),
}


def kind_of(state: State, asked: str | None = None) -> str:
    """Return the kind of a state dict.

    Args:
        state: the state dict, its norms folded.
        asked: the kind that the user says it is, if any.

    Raises:
        UnimportableError: it is of no known kind, or not of the one that the user says.
    """
    found = next((name for name, kind in KINDS.items() if kind.key in state), None)
    if found is None:
        raise UnimportableError(_unknown(state))
    if asked not in (None, found):
        raise UnimportableError(f"it is {found}, not {asked}: leave out --as")
    return found


def _unknown(state: State) -> str:
    """Return an error for a state dict of no known kind: the nearest kind, and the differences."""
    shared = {name: len(state.keys() & set(kind.keys())) for name, kind in KINDS.items()}
    nearest = max(shared, key=lambda name: shared[name])
    if not shared[nearest]:
        return f"it is of no known network; known are {', '.join(KINDS)}"
    wrong = ", ".join(differences(state, KINDS[nearest].keys())[:3])
    return f"it is of no known network; it differs from {nearest}: {wrong}"
