"""A study on disk: a folder that is never changed once written.

    DIR/study.json       settings, photographs and checksums; secret
    DIR/pictures/*.png   the pictures, under random names
    DIR/owner-token      the secret that opens the report over HTTP

Answers are kept beside it, in a database of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from tintype.errors import DataError
from tintype.study.settings import Settings, check_settings

VERSION = 2
MANIFEST, PICTURES, TOKEN = "study.json", "pictures", "owner-token"

#: Name of the false colours that catch trials show beside the true ones.
FALSE_COLORS = "false colours"

#: Names of pictures as they are made: nothing that leads out of their folder.
_PICTURE_NAME = re.compile(r"[0-9a-f]{32}\.png")

Kind = Literal["practice", "trial", "catch"]


@dataclass(frozen=True)
class StudyPhoto:
    """One photograph of the study.

    Attributes:
        name: of the photograph's file.
        kind: the kind of its trials.
        true: file of its true colours, in the folder of pictures.
        colorized: system -> file with that system's colours.
    """

    name: str
    kind: Kind
    true: str
    colorized: dict[str, str]


@dataclass(frozen=True)
class Study:
    """A study: its settings, photographs and checksums.

    Attributes:
        folder: where it lies.
        settings: its settings.
        systems: name -> where its colours come from.
        photos: the photographs; trials name them by their index here.
        checksums: file of a picture -> SHA-256.
        created: date and time, UTC, ISO 8601.
        digest: SHA-256 over everything above but the folder.
    """

    folder: Path
    settings: Settings
    systems: dict[str, str]
    photos: tuple[StudyPhoto, ...]
    checksums: dict[str, str]
    created: str
    digest: str = ""

    def photos_of_kind(self, kind: Kind) -> list[int]:
        """Return the indices of the photographs of a kind."""
        return [k for k, photo in enumerate(self.photos) if photo.kind == kind]

    @property
    def trials_per_rater(self) -> int:
        """The number of scored trials of each rater."""
        return min(self.settings.trials, len(self.photos_of_kind("trial")))

    @property
    def last_position(self) -> int:
        """The position of each rater's last trial, from 0."""
        settings = self.settings
        return settings.practice_trials + settings.catch_trials + self.trials_per_rater - 1

    def picture_path(self, name: str) -> Path:
        """Return the path of a picture's file."""
        return self.folder / PICTURES / name

    def pair_files(self, photo: int, system: str) -> tuple[Path, Path]:
        """Return the paths of a photograph's true picture and a system's colorized one."""
        entry = self.photos[photo]
        return self.picture_path(entry.true), self.picture_path(entry.colorized[system])

    def raters_needed(self, answers: int) -> int:
        """Return how many raters give this many answers to each pair of photograph and system."""
        pairs = len(self.photos_of_kind("trial")) * len(self.systems)
        return -(-pairs * answers // self.trials_per_rater)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the folder as a JSON object."""
        record = asdict(self)
        del record["folder"]
        return json.loads(json.dumps(record))

    def write(self) -> Study:
        """Write the manifest into the folder; return the study with its digest."""
        record = self.to_json()
        record["digest"] = compute_digest(record)
        path = self.folder / MANIFEST
        text = json.dumps({"tintype_study": VERSION, **record}, indent=1, ensure_ascii=False)
        path.touch(mode=0o600)  # the seed is secret
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o400)
        return read_study(self.folder)


def hide_folder(folder: Path) -> None:
    """Let nobody but its owner look into a study's folder, where the file system can say so."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)


def compute_digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a study's record, without the digest in it."""
    content = {key: value for key, value in record.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(folder: Path) -> Study:
    """Read a study and check that nothing in it was changed since it was made.

    Raises:
        DataError: there is none, its format version is another, or it was changed.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record.pop("tintype_study")
        changed = version == VERSION and compute_digest(record) != record.get("digest")
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no study: prepare one with  tintype study create"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it from a copy.") from error
    if version != VERSION:
        raise DataError(
            f"{path} was made by another version of tintype (format {version}, not {VERSION}): "
            "create the study again."
        )
    if changed:
        raise DataError(
            f"{path} was changed since the study was made: its checksum is not its own. A study "
            "stays as it is; restore it from a copy, or create a new one."
        )
    try:
        # As JSON, which is strict about numbers and text and takes lists for tuples.
        text = json.dumps({**record, "folder": os.fspath(folder)})
        study = TypeAdapter(Study).validate_json(text, strict=True)
        check_settings(study.settings)
        _check_photos(study)
        if study.to_json() != record:  # nothing has a default here
            raise DataError("something is missing in it, or does not belong there")
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except DataError as error:
        reason = str(error)
    else:
        return Study(**{**vars(study), "folder": folder})
    raise DataError(f"{path} describes no study ({reason}); restore it from a copy.")


def _check_photos(study: Study) -> None:
    """Check that photographs, systems and pictures belong together.

    Raises:
        DataError: they do not.
    """
    settings, systems = study.settings, set(study.systems)
    shown = {name for photo in study.photos for name in (photo.true, *photo.colorized.values())}
    rules = {
        "it has a system": systems and FALSE_COLORS not in systems,
        "each rater has a trial for each system": settings.trials >= len(systems),
        "there are photographs for each kind of trial": (
            len(study.photos_of_kind("practice")) == settings.practice_trials
            and len(study.photos_of_kind("catch")) == settings.catch_trials
            and len(study.photos_of_kind("trial")) >= len(systems)
        ),
        "each photograph is there in the colours of each system": all(
            set(photo.colorized) == ({FALSE_COLORS} if photo.kind == "catch" else systems)
            for photo in study.photos
        ),
        "each picture has a checksum": shown == set(study.checksums),
        "each picture lies in its folder": all(map(_PICTURE_NAME.fullmatch, study.checksums)),
    }
    for rule, holds in rules.items():
        if not holds:
            raise DataError(f"it does not hold that {rule}")


def verify_pictures(study: Study) -> None:
    """Check every picture against its checksum.

    Raises:
        DataError: one is missing or damaged.
    """
    pictures = (study.folder / PICTURES).resolve()
    for name, checksum in study.checksums.items():
        path = study.picture_path(name)
        try:
            if path.resolve().parent != pictures:  # a link
                raise DataError(f"{path} lies outside the study; restore it from a copy.")
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; restore it from a copy.") from error
        if found != checksum:
            raise DataError(f"{path} is not the picture the study was made with; restore it.")


def read_owner_token(study: Study) -> str:
    """Read the secret that opens the report over HTTP.

    Raises:
        DataError: the file that holds it is missing or empty.
    """
    path = study.folder / TOKEN
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "not text")
        raise DataError(f"{path}: {reason}; write a long random line into it.") from error
    if len(token) < 16:
        raise DataError(f"{path} holds no secret to speak of; write a long random line into it.")
    return token
