"""Find installed models: their folders, and the card of a name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tintype.card import Card, read_card
from tintype.errors import CorruptModelError, SettingError, UnknownModelError
from tintype.runtime.options import Options

#: Environment variable of folders that are searched before the package's own, separated as in PATH.
WEIGHTS_VARIABLE = "TINTYPE_WEIGHTS"
_SHIPPED = Path(__file__).parent.parent / "weights"


class Untrained(NamedTuple):
    """A published system that can be trained but whose weights are not shipped.

    Attributes:
        name: name of the system.
        description: one sentence.
        instead: a shipped model for the same purpose, or empty.
    """

    name: str
    description: str
    instead: str = ""

    @property
    def command(self) -> str:
        """Return the commands that train and export it."""
        return (
            f"tintype train {self.name} --data FOLDER --out RUN; "
            f"then tintype export RUN --name {self.name}.mine"
        )


_PAPERS = (
    Untrained("adversarial", "Lal et al. 2017: trained with a Wasserstein critic and labels."),
    Untrained("cic", "Zhang et al. 2016: classification over bins of color."),
    Untrained("letcolor", "Iizuka et al. 2016: global and local features."),
    Untrained("pic", "Royer et al. 2017: many colorings, by a PixelCNN++.", "tint_sampler"),
    Untrained(
        "pixcolor",
        "Guadarrama et al. 2017: many colorings, by a PixelCNN, then refined.",
        "tint_sampler",
    ),
)


def folders() -> list[Path]:
    """Return the folders that are searched, in order: TINTYPE_WEIGHTS, then the package's own."""
    named = os.environ.get(WEIGHTS_VARIABLE, "")
    return [Path(part) for part in named.split(os.pathsep) if part] + [_SHIPPED]


def list_cards() -> tuple[list[Card], list[CorruptModelError]]:
    """Return the cards of all models, sorted by name, and the errors of those that cannot be read.

    A model hides models of the same name in later folders.
    """
    cards: dict[str, Card] = {}
    damaged: list[CorruptModelError] = []
    for name, path in _files():
        if name in cards:
            continue
        try:
            cards[name] = _read(path)
        except CorruptModelError as error:
            damaged.append(error)
    return [cards[name] for name in sorted(cards)], damaged


def list_models() -> list[Card]:
    """Return the cards of all installed models, sorted by name."""
    return list_cards()[0]


def names_of_models(test: Callable[[Card], bool]) -> str:
    """Return the names of installed models that pass a test, e.g. ``"tint.small or cic.small"``."""
    return " or ".join(card.name for card in list_models() if test(card))


def list_untrained() -> list[Untrained]:
    """Return the published systems of which no model is installed, sorted by name."""
    present = {name.partition(".")[0] for name, _ in _files()}
    return [paper for paper in _PAPERS if paper.name not in present]


def find_model(model: str | os.PathLike[str]) -> Card:
    """Return the card of a model by its name or the path of its card or weights.

    Args:
        model: ``"system.tag"``; ``"system"``, for the tag ``small`` or else the first tag; or a
            path that ends in ``.json`` or ``.onnx``.

    Raises:
        UnknownModelError: there is no such model; the message suggests names or how to train it.
        CorruptModelError: its card cannot be read.
    """
    name = os.fspath(model)
    if name.endswith((".json", ".onnx")):
        path = Path(name).with_suffix(".json")
        if not path.exists():
            raise UnknownModelError(
                f"There is no model card {path}: a model is a .onnx file with its .json beside it."
            )
        return _read(path)
    paths: dict[str, Path] = {}
    for found, path in _files():
        paths.setdefault(found, path)
    tags = sorted(found for found in paths if found.startswith(f"{name}."))
    for candidate in (name, f"{name}.small", *tags[:1]):
        if candidate in paths:
            return _read(paths[candidate])
    raise UnknownModelError(_unknown(name, sorted(paths)))


# Model whose second stage ``truth28`` without a name is about.
_OF_TRUTH = "tint_sampler"
_TRUTH: dict[str, dict[str, Any]] = {
    "truth28": {"refine": False, "enlarge": "bilinear"},
    "truth28+refine": {"refine": True},
}


def parse_model_option(name: str) -> tuple[str, dict[str, Any]]:
    """Split ``NAME@OPTION`` into the name of a model and its options; ``NAME`` has none.

    The option is a vividness (``tint@0.5``), a filter (``patchwise@none``), ``refine`` or
    ``no-refine`` (``tint_sampler@no-refine``), an enlargement (``tint@bilinear``), or ``truth28``
    or ``truth28+refine``, which also stand alone; see `tintype.runtime.named.NamedModel`.
    """
    model, at, option = name.rpartition("@")
    if option in _TRUTH:
        return model or _OF_TRUTH, {"truth": True, **_TRUTH[option]}
    if not at or option.endswith((".json", ".onnx")):
        return name, {}
    try:
        return model, {"vividness": float(option)}
    except ValueError:
        pass
    if option in ("refine", "no-refine"):
        return model, {"refine": option == "refine"}
    return model, {"enlarge" if option in ("guided", "bilinear") else "filter": option}


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the name and the card's path of each model, folder by folder."""
    for folder in folders():
        for path in sorted(folder.glob("[!.]*.json")):
            if path.with_suffix(".onnx").exists():
                yield path.stem, path


def _read(path: Path) -> Card:
    card = read_card(path)
    if card.name != path.stem:
        raise CorruptModelError(
            f"{path} is the card of {card.name}: give the files their names back."
        )
    try:
        Options.resolve(card)
    except SettingError as error:
        raise CorruptModelError(f"{path}: {error}; export the model again.") from error
    return card


def _unknown(name: str, names: list[str]) -> str:
    """Return the error message for a name that no model has."""
    system = name.partition(".")[0]
    for paper in list_untrained():
        if paper.name == system:
            instead = f" Until then {paper.instead} samples." if paper.instead else ""
            return f"{system}: no weights ship yet; train them with: {paper.command}.{instead}"
    known = sorted({part for name in names for part in (name.partition(".")[0], name)})
    if near := difflib.get_close_matches(name, known, n=3, cutoff=0.5):
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"there are: {', '.join(known)}."
    else:
        hint = "no model is installed; reinstall tintype."
    own = f"A model of your own is found by -m FILE.onnx, or with its folder in {WEIGHTS_VARIABLE}."
    return f"No model is called {name!r}; {hint} {own}"
