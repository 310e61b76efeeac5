"""Write the generated parts of README.md and of the pages, from cards, presets and docstrings.

    python docs/tables.py

Each stands between ``<!-- table: KIND NAME ... -->`` and ``<!-- end of table -->``.
tests/test_documents.py fails where one is out of date.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import docstrings
import torch
from torch import nn

from tintype.card import Card, read_card
from tintype.cli.app import app, load_all
from tintype.models import build, model_class
from tintype.models.base import TrainConfig
from tintype.runtime.registry import list_untrained, parse_model_option

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "src" / "tintype" / "weights"
_MARKED = re.compile(r"(<!-- table: (\w+)([\w/. ]*) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_FIGURES = (  # key on the card, heading, decimals
    ("ab_rmse", "ab error ↓", 2),
    ("rmse_vs_gray", "of gray ↓", 3),
    ("psnr", "PSNR ↑", 1),
    ("colorful", "colorfulness", 1),
    ("hist_a", "hist. a ↑", 2),
    ("hist_b", "hist. b ↑", 2),
)
# Which optimizers read a field of `TrainConfig`, and at which value other than 0 one does nothing.
_OPTIMIZERS = {"betas": ("adam", "adamw"), "eps": ("adam", "adamw"), "momentum": ("sgd",)}
_NEUTRAL = {"lr_decay": 1.0, "scale": 1.0}
_REFERENCES = {"gray": "gray: nothing done", "ceiling": "ceiling: true chroma"}


def documents() -> list[Path]:
    """Return every page: those in the repository's root and those below docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def with_tables(text: str) -> str:
    """Return a page with its tables as they should be."""

    def table(match: re.Match[str]) -> str:
        begin, kind, names, end = match.groups()
        lines = TABLES[kind](*names.split())
        return "\n".join([begin, *lines]).rstrip() + f"\n\n{end}"

    return _MARKED.sub(table, text)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> list[str]:
    """Lay out a table; columns are aligned to the left but those with an r in `align`."""
    rules = ["---:" if column == "r" else "---" for column in align.ljust(len(headings), "l")]
    return [f"| {' | '.join(row)} |" for row in (headings, rules, *rows)]


def _cards(*systems: str) -> list[Card]:
    cards = [read_card(path) for path in sorted(WEIGHTS.glob("*.json"))]
    by_system = sorted(cards, key=lambda card: (card.system != "tint", card.name))
    return [card for card in by_system if not systems or card.system in systems]


def _scores(*systems: str) -> Iterator[str]:
    """What is on the cards, a table for each set of photographs."""
    sets: dict[str, dict[str, dict[str, float]]] = {}
    for card in _cards(*systems):
        scores = card.scores
        for row in scores.get("rows", ()):
            protocol = scores["protocol"].partition(".")[0]
            sizes = "compared at that size" if protocol == "native" else "resized"
            title = f"{_named(scores['dataset'], '../')}, {sizes} "
            title += f"([protocol](../reference/metrics.md#protocols) `{protocol}`); their own "
            title += f"colorfulness is {scores['true_colorful']:.1f}. Of a sampler one sample of "
            title += "each photograph, seed 0. [No intervals](../reference/metrics.md#eval-500)."
            sets.setdefault(title, {}).setdefault(row["model"], row)
    for title, models in sets.items():
        yield from (title, "")
        rows = [
            [_label(name), *(f"{row[key]:.{digits}f}" for key, _, digits in _FIGURES)]
            for name, row in models.items()
        ]
        yield from _table(["", *(heading for _, heading, _ in _FIGURES)], rows, "lrrrrrr")


def _named(dataset: str, docs: str) -> str:
    """A data set as its card names it, with a link to what it is; `docs` leads to that folder."""
    name, colon, rest = dataset.partition(":")
    return f"[{name[0].upper()}{name[1:]}]({docs}reference/metrics.md#{name}){colon}{rest}"


def _label(model: str) -> str:
    if model in _REFERENCES:
        return _REFERENCES[model]
    name, options = parse_model_option(model)
    if "truth" in options:
        return f"`{model}`"
    return ", ".join(
        [
            f"`{name}`",
            *(
                f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in options.items()
            ),
        ]
    )


def _overview(folder: str = "") -> Iterator[str]:
    """Every model in a line, with two scores beside gray's; their pages lie in a folder."""
    shipped = _cards()
    dataset, truth = (shipped[0].scores[key] for key in ("dataset", "true_colorful"))
    rows = []
    for card in shipped:
        scores = card.scores if card.scores.get("dataset") == dataset else {"rows": []}
        figures = {row["model"]: row for row in scores["rows"]}
        if not rows and "gray" in figures:
            rows.append(["gray", "Nothing done.", "", *_pair(figures["gray"])])
        link = f"[{card.system}]({folder}{card.system}.md)"
        size = f"{_megabytes(card):.1f} MB"
        rows.append([link, card.description, size, *_pair(figures.get(card.system))])
    for model in list_untrained():
        link = f"[{model.name}]({folder}{model.name}.md)"
        rows.append([link, model.description, "none yet", *_pair(None)])
    yield from _table(["model", "what it is", "weights", "of gray", "colorfulness"], rows, "lllrr")
    docs = "docs/" if folder else "../"
    words = f"*of gray*: the [ab error]({docs}glossary.md) as a share of gray's, lower is better."
    yield from ("", words, f"The photographs' own colorfulness is {truth:.1f}.")
    yield f"{_named(dataset, docs)}. Some numbers of tint's decoding"
    yield f"[were chosen on them]({folder}tint.md#how-good-it-is)."


def _pair(row: dict[str, float] | None) -> tuple[str, str]:
    return (f"{row['rmse_vs_gray']:.3f}", f"{row['colorful']:.1f}") if row else ("–", "–")


def _megabytes(card: Card) -> float:
    return sum((WEIGHTS / file).stat().st_size for file in card.files) / 1e6


def _card(system: str) -> Iterator[str]:
    """What a reader wants to know of the weights that ship, and how they were made."""
    for card in _cards(system):
        training = card.training
        options = ", ".join(f"`{name}` {_value(value)}" for name, value in card.options.items())
        commands = "<br>".join(
            f"`{line}`" if line.startswith("tintype ") else line for line in training["commands"]
        )
        seen = f"{card.size.short_side} px on the shorter side, at most {card.size.longest}"
        yield from _table(
            [f"`{card.name}`", ""],
            [
                ["size", f"{_megabytes(card):.1f} MB; ONNX files: {len(card.files)}"],
                ["sees a photograph at", seen],
                ["chroma", f"{card.space}, enlarged: {card.enlarge}"],
                ["options, with defaults", options or "none"],
                ["trained on", training.get("note", "not on the card")],
                ["last run", f"{training['step']:,} steps, {training['minutes']:.0f} minutes"]
                if "minutes" in training
                else ["last run", f"{training['step']:,} steps"],
                ["commands that make it", commands],
                ["licence of the weights", card.licence],
            ],
        )


def _presets(system: str) -> Iterator[str]:
    """Numbers of parameters, and the fields of both configurations that do something."""
    presets = {k: v for k, v in model_class(system).presets.items() if k != "test"}
    columns, align = [f"`{name}`" for name in presets], "l" + "r" * len(presets)
    yield from _table(["parameters", *columns], _parameters(system, presets), align)
    for position, title in enumerate(("network and losses", "training")):
        configs = [pair[position] for pair in presets.values()]
        rows = []
        for field in dataclasses.fields(configs[0]):
            values = [_value(getattr(config, field.name)) for config in configs]
            used = [_is_used(config, field.name) for config in configs]
            if any(used):
                cells = (v if u else "–" for v, u in zip(values, used, strict=True))
                rows.append([f"`{field.name}`", *cells])
        yield ""
        yield from _table([title, *columns], rows, align)
    yield from ("", "What a preset does without has a dash, or no row where none has it.")


def _parameters(system: str, presets: Iterable[str]) -> Iterator[list[str]]:
    """The number of parameters of a model, and of its parts unless they are many."""
    counts = []
    for preset in presets:
        with torch.device("meta"):  # nothing is allocated
            model, _ = build(system, preset)
        parts = {name: _count(part) for name, part in model.named_children()}
        counts.append({"all": _count(model)} | (parts if len(parts) < 5 else {}))
    for name in counts[0]:
        yield [f"`{name}`" if name != "all" else name, *(f"{count[name]:,}" for count in counts)]


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_used(config: Any, name: str) -> bool:
    """Tell whether a field changes anything: it is not neutral, and the optimizer reads it."""
    value = getattr(config, name)
    if name in _OPTIMIZERS and isinstance(config, TrainConfig):
        return config.optimizer in _OPTIMIZERS[name]
    return value != _NEUTRAL.get(name) and value not in (0, None, (), "none")


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        pairs = any(isinstance(item, (list, tuple)) for item in value)
        return ("; " if pairs else ", ").join(map(_value, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _commands() -> list[str]:
    """The reference of the command line, written by its parser."""
    load_all()
    with mock.patch("sys.argv", ["tintype"]):  # else usage begins with the program that runs this
        text = app.generate_docs(output_format="markdown")
    _, _, commands = text.partition("\n## tintype ")
    return ["", *f"## tintype {commands}".rstrip().splitlines()]


TABLES = {
    "scores": _scores,
    "overview": _overview,
    "card": _card,
    "presets": _presets,
    "fields": docstrings.fields,
    "reference": docstrings.reference,
    "commands": _commands,
}


if __name__ == "__main__":
    for path in documents():
        text = path.read_text("utf-8")
        if (new := with_tables(text)) != text:
            path.write_text(new, "utf-8")
            print(f"{path.relative_to(ROOT)}: tables written anew")
