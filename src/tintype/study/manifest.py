"""A study on disk: a folder that nothing changes once it is written.

    DIR/study.json       what is asked, how, and what the pictures are: never leaves the server
    DIR/pictures/*.png   the pictures, under random names
    DIR/owner-token      the secret that opens the report over HTTP

Answers are kept beside it, in a database of their own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tintype.errors import DataError

VERSION = 2
MANIFEST, PICTURES, TOKEN = "study.json", "pictures", "owner-token"

#: Name of the false colours that catch trials set against the true ones.
FALSE_COLOURS = "false colours"

Kind = Literal["practice", "trial", "catch"]

QUESTION = "Which one has the true colours?"

CONSENT = (
    "You are invited to take part in a study of how convincing the colours are that computer "
    "programs give to black-and-white photographs.",
    "You will see pairs of pictures and say, for each pair, which picture has the true colours. "
    "There is nothing to prepare and no special knowledge is needed. You should be able to see "
    "colours without difficulty.",
    "We record which picture you choose, how long you take, whether the pictures lay side by side "
    "or one above the other, and whether the page was hidden meanwhile. We do not ask for your "
    "name, and we keep neither your address on the network nor anything else about you. One cookie "
    "lets you go on where you were if the page is closed; it holds a random number.",
    "Taking part is voluntary. You may stop at any time, without giving a reason; if you press "
    "“Stop and withdraw”, your answers are left out of the study.",
)


@dataclass(frozen=True)
class Rules:
    """What makes a rater's answers not count; fixed before the first answer is given.

    Attributes:
        catch_errors: wrong answers to catch trials that are forgiven.
        fast_ms: an answer sooner than this after the pictures appeared was not looked at.
        fast_share: more than this share of such answers excludes the rater.
        side_p: the rater is excluded where an even choice between the sides would be as uneven
            as this one with a probability below this (exact binomial test, two-sided).
    """

    catch_errors: int = 1
    fast_ms: int = 300
    fast_share: float = 0.25
    side_p: float = 0.001


@dataclass(frozen=True)
class Settings:
    """What is asked, and how.

    Attributes:
        title: of the study, as raters see it.
        question: what raters are asked of each pair.
        consent: paragraphs of the page on which raters agree to take part.
        contact: whom raters can ask, in words; empty where nobody is named.
        size: side of the square pictures in pixels.
        exposure_ms: for how long a pair is shown; 0 leaves it there until the answer.
        trials: pairs each rater is asked that count.
        practice: pairs with feedback before them, which never count.
        catch: pairs among them whose answer is obvious.
        seed: of every random choice; whoever knows it knows all sides.
        rules: what excludes a rater.
    """

    title: str = "True colours"
    question: str = QUESTION
    consent: tuple[str, ...] = CONSENT
    contact: str = ""
    size: int = 256
    exposure_ms: int = 5000
    trials: int = 50
    practice: int = 5
    catch: int = 6
    seed: int = 0
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Picture:
    """One photograph of the study.

    Attributes:
        name: of the file it was made of.
        kind: what it is used for.
        true: the file with its true colours, in the folder of pictures.
        coloured: system -> the file with that system's colours.
    """

    name: str
    kind: Kind
    true: str
    coloured: dict[str, str]


@dataclass(frozen=True)
class Study:
    """A prepared study.

    Attributes:
        folder: where it lies.
        settings: what is asked, and how.
        systems: name -> where its colours come from.
        photos: the photographs; trials name them by their index here.
        checksums: file of a picture -> SHA-256.
        created: date and time, UTC, ISO 8601.
        digest: SHA-256 over everything above but the folder.
    """

    folder: Path
    settings: Settings
    systems: dict[str, str]
    photos: tuple[Picture, ...]
    checksums: dict[str, str]
    created: str
    digest: str = ""

    def of_kind(self, kind: Kind) -> list[int]:
        """The indices of the photographs that are used for this."""
        return [k for k, photo in enumerate(self.photos) if photo.kind == kind]

    @property
    def trials(self) -> int:
        """Pairs that count, for each rater."""
        return min(self.settings.trials, len(self.of_kind("trial")))

    def file(self, name: str) -> Path:
        """Where a picture lies."""
        return self.folder / PICTURES / name

    def files_of(self, photo: int, system: str) -> tuple[Path, Path]:
        """The true picture of a photograph, and that with a system's colours."""
        entry = self.photos[photo]
        return self.file(entry.true), self.file(entry.coloured[system])

    def raters_for(self, answers: int) -> int:
        """How many raters give this many answers to each photograph in each system's colours."""
        pairs = len(self.of_kind("trial")) * len(self.systems)
        return -(-pairs * answers // self.trials)

    def record(self) -> dict[str, Any]:
        """Everything but the folder, as JSON has it."""
        record = asdict(self)
        del record["folder"]
        return json.loads(json.dumps(record))

    def write(self) -> Study:
        """Write the manifest into the folder and return the study with its digest."""
        record = self.record()
        record["digest"] = digest_of(record)
        path = self.folder / MANIFEST
        text = json.dumps({"tintype_study": VERSION, **record}, indent=1, ensure_ascii=False)
        path.touch(mode=0o600)  # who reads the seed knows all sides
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o400)
        return read_study(self.folder)


def digest_of(record: dict[str, Any]) -> str:
    """SHA-256 over a study's record, without the digest it may hold itself."""
    content = {key: value for key, value in record.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(folder: Path) -> Study:
    """Read a study and check that nothing in it was changed since it was made.

    Raises:
        DataError: there is none, it is of another version, or it was changed.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record.pop("tintype_study")
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no study: prepare one with  tintype study create"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it from a copy.") from error
    if version != VERSION:
        raise DataError(
            f"{path} was made by another version of tintype (format {version}, not {VERSION}): "
            "create the study again."
        )
    if digest_of(record) != record.get("digest"):
        raise DataError(
            f"{path} was changed since the study was made: its checksum is not its own. A study "
            "stays as it is; restore it from a copy, or create a new one."
        )
    settings = record["settings"]
    settings["rules"] = Rules(**settings["rules"])
    settings["consent"] = tuple(settings["consent"])
    return Study(
        folder=folder,
        settings=Settings(**settings),
        systems=record["systems"],
        photos=tuple(Picture(**photo) for photo in record["photos"]),
        checksums=record["checksums"],
        created=record["created"],
        digest=record["digest"],
    )


def verify_pictures(study: Study) -> None:
    """Check every picture against its checksum.

    Raises:
        DataError: one is missing or damaged.
    """
    for name, checksum in study.checksums.items():
        path = study.file(name)
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; restore it from a copy.") from error
        if found != checksum:
            raise DataError(f"{path} is not the picture the study was made with; restore it.")


def owner_token(study: Study) -> str:
    """The secret that opens the report over HTTP.

    Raises:
        DataError: the file that holds it is missing or empty.
    """
    path = study.folder / TOKEN
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; write a long random line into it.") from error
    if len(token) < 16:
        raise DataError(f"{path} holds no secret to speak of; write a long random line into it.")
    return token
