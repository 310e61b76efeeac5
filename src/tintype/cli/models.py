"""``tintype models``: list the models, or print a card."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tintype.cli.console import escaped, print_json, print_line, print_table
from tintype.cli.options import Json

if TYPE_CHECKING:
    from tintype.card import Card

_FIGURES = (
    "ab_rmse",
    "rmse_vs_gray",
    "psnr",
    "colorful",
    "delta_cf",
    "hist_a",
    "hist_b",
    "auc_reb",
)


def models(name: str | None = None, /, *, json: Json = False) -> int:
    """List the models, or describe one.

    Models are searched for in the folders that the environment variable
    TINTYPE_WEIGHTS names, separated as in PATH, then among tintype's own.

    Args:
        name: the model to describe: SYSTEM.TAG, a SYSTEM for its default tag, or a card's path.
    """
    if name is None:
        _list(json)
        return 0
    from tintype.runtime.registry import find_model

    card = find_model(name)
    if json:
        print_json(dataclasses.asdict(card))
    else:
        _describe(card)
    return 0


def _list(json: bool) -> None:
    from tintype.runtime.registry import Untrained, list_cards, list_untrained

    cards, damaged = list_cards()
    untrained = list_untrained()
    for error in damaged:
        print(f"tintype: {escaped(str(error))}", file=sys.stderr)
    if json:
        print_json(
            {
                "models": [dataclasses.asdict(card) for card in cards],
                "untrained": [{**paper._asdict(), "command": paper.command} for paper in untrained],
                "damaged": [str(error) for error in damaged],
            }
        )
        return
    rows = [(card.name, f"{_megabytes(card):.1f}", card.description) for card in cards]
    rows += [(paper.name, "–", f"{paper.description} No weights ship yet.") for paper in untrained]
    print_table([("MODEL", "MB", "DESCRIPTION"), *rows], header=True)
    if untrained:
        print_line(f"To make one whose weights do not ship: {Untrained('NAME', '').command}")


def _megabytes(card: Card) -> float:
    files = [card.path.parent / name for name in card.files]
    return sum(path.stat().st_size for path in files if path.exists()) / 1e6


def _describe(card: Card) -> None:
    """Print what a user wants to know of a model, then how good it is; the rest is in the JSON."""
    own = {name: default for name, default in card.options.items() if name != "hints"}
    rows = [
        ("name", card.name),
        ("description", card.description),
        ("paper", card.paper),
        ("size", f"{_megabytes(card):.1f} MB"),
        ("licence", card.licence),
        ("gives", "many colourings" if card.kind == "sampler" else "one colouring"),
        ("its options", _line(own)),
        ("takes hints", "yes" if card.takes_hints else "no"),
        ("trained on", _line(card.training.get("note", ""))),
        ("path", str(card.path)),
    ]
    print_table([row for row in rows if row[1]])
    if card.scores:
        _print_scores(card.scores)
    print_line(
        f"\nThe whole card, with its training and checksums: tintype models {card.name} --json"
    )


def _print_scores(scores: Mapping[str, Any]) -> None:
    print_line(f"\nHow good, measured on {_line(scores.get('dataset'))}:")
    # Anybody can write a card: whatever is not a row of scores is left out.
    listed: Any = scores.get("rows")
    measured = [r for r in listed if isinstance(r, dict)] if isinstance(listed, list) else []
    names = ["model", *(k for k in _FIGURES if measured and all(k in r for r in measured))]
    figures = [[_figure(row.get(key)) for key in names] for row in measured]
    print_table([names, *figures], header=True)
    true = _figure(scores.get("true_colorful"))
    print_line(
        "rmse_vs_gray: the error of the colours as a share of gray's, lower is better.\n"
        f"colorful: how strong they are; those of the photographs themselves: {true}."
    )


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _line(value: object) -> str:
    """Format a value of a card, which may be nested, in one line."""
    if isinstance(value, dict):
        return ", ".join(
            f"{key} ({_line(item)})" if isinstance(item, dict) else f"{key}: {_line(item)}"
            for key, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        between = "; " if any(isinstance(item, dict) for item in value) else " "
        return between.join(map(_line, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
