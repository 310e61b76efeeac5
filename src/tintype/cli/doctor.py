"""``tintype doctor``: what is installed here, and whether the models are intact."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from tintype.cli.console import print_json, print_line, print_table
from tintype.cli.options import Json
from tintype.errors import ModelError

if TYPE_CHECKING:
    from tintype.card import Card

_PACKAGES = (
    "tintype",
    "numpy",
    "pillow",
    "onnxruntime",
    "cyclopts",
    "torch",
    "onnx",
)

# The packages of each extra without which its commands do not run.
_EXTRAS = {
    "train": ("torch", "safetensors"),
    "evaluate": ("jinja2", "scikit-image"),
    "features": ("torch", "safetensors"),
    "export": ("torch", "safetensors", "onnx", "onnxscript"),
    "web": ("fastapi", "jinja2", "python-multipart", "scipy", "sqlalchemy", "uvicorn"),
    "cloud": ("fsspec", "s3fs", "gcsfs"),
    "cluster": ("distributed", "cryptography"),
    "heic": ("pillow-heif",),
    "postgres": (
        "fastapi",
        "jinja2",
        "python-multipart",
        "scipy",
        "sqlalchemy",
        "uvicorn",
        "psycopg",
    ),
}


def doctor(*, json: Json = False) -> int:
    """Check the installation: versions, extras, devices, models and their checksums.

    The exit status is 1 if there is no model, or one is damaged.
    Models are searched for in the folders that the environment variable
    TINTYPE_WEIGHTS names, separated as in PATH, then among tintype's own.
    """
    from tintype.runtime.registry import folders, list_cards
    from tintype.runtime.session import cores

    cards, damaged = list_cards()
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "extras": {extra: _missing(extra) for extra in _EXTRAS},
        "providers": _providers(),
        "threads": cores(),
        "folders": [{"path": str(path), "exists": os.path.isdir(path)} for path in folders()],
        "models": [_checked(card) for card in cards],
        "damaged": [str(error) for error in damaged],
    }
    intact = [model["status"] == "intact" for model in report["models"]]
    healthy = bool(intact) and all(intact) and not damaged
    report["healthy"] = healthy
    if json:
        print_json(report)
    else:
        _print(report)
    return 0 if healthy else 1


def _missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [package for package in _EXTRAS[extra] if _version(package) is None]


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _providers() -> list[str]:
    """Return what --provider takes here."""
    from tintype.runtime.device import NAMES
    from tintype.runtime.ort import load_onnxruntime

    there = load_onnxruntime().get_available_providers()
    return [provider for provider, name in NAMES.items() if name in there]


def _checked(card: Card) -> dict[str, str]:
    """Return a model's name, its path, and "intact" or what is wrong with its files."""
    from tintype.runtime.session import verify

    try:
        verify(card)
        status = "intact"
    except (ModelError, OSError) as error:
        status = str(error)
    return {"name": card.name, "path": str(card.path), "status": status}


def _print(report: dict[str, Any]) -> None:
    rows = [("python", report["python"]), ("platform", report["platform"])]
    rows += [
        (name, found or "optional, not installed") for name, found in report["packages"].items()
    ]
    for extra, missing in report["extras"].items():
        lacks = f"optional, not installed ({', '.join(missing)}): pip install '.[{extra}]'"
        rows.append((f"extra {extra}", f"{lacks} in tintype's folder" if missing else "installed"))
    rows += [("providers", ", ".join(report["providers"])), ("threads", str(report["threads"]))]
    for folder in report["folders"]:
        rows.append(("folder", folder["path"] + ("" if folder["exists"] else ": does not exist")))
    rows += [(model["name"], model["status"]) for model in report["models"]]
    rows += [("damaged", reason) for reason in report["damaged"]]
    print_table(rows)
    print_line(_verdict(report))


def _verdict(report: dict[str, Any]) -> str:
    """Say in a line whether photographs can be coloured, or what is not in order."""
    if report["healthy"]:
        return "Everything is in order for colouring photographs."
    if not report["models"] and not report["damaged"]:
        return "Not in order: no models are installed. Install tintype again."
    faulty = [model["name"] for model in report["models"] if model["status"] != "intact"]
    cards = len(report["damaged"])
    faulty += [f"{cards} card{'s' * (cards > 1)}"] if cards else []
    return f"Not in order: {', '.join(faulty)} damaged, see above. Install tintype again."
