"""Types of options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.errors import SettingError
from tintype.runtime.device import Provider
from tintype.runtime.options import Enlarge, Filter


def whole(type_: object, tokens: Sequence[Token]) -> int:
    """Convert an option to a whole number; cyclopts itself would round 1.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'"{tokens[0].value}" is not a whole number.') from None


Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="print one JSON object on standard output."),
]
Recursive = Annotated[
    bool,
    Parameter(
        alias="-r",
        negative="",
        show_default=False,
        help="look into the subfolders of folders.",
    ),
]
Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
Whole = Annotated[int, Parameter(converter=whole)]
FromZero = Annotated[int, Parameter(converter=whole, validator=Number(gte=0))]
Count = Annotated[int, Parameter(converter=whole, validator=Number(gte=1))]
Samples = Annotated[int, Parameter(converter=whole, validator=Number(gte=1, lte=64))]
Positive = Annotated[float, Parameter(validator=Number(gt=0))]
Threads = Annotated[
    int | None,
    Parameter(
        converter=whole,
        validator=Number(gte=1, lte=1024),
        show_default=lambda _: "one per core",
        help="CPU threads to use.",
    ),
]


def _own(_: object) -> str:
    return "as the model's card says"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ColorOptions:
    """How photographs are coloured; options that are not given are the model's own.

    Args:
        vividness: from 0, the safest colours, to 1, the most vivid; a model that samples takes
            temperature instead.
        saturation: strength of the colours, a factor: 0 gives gray, below 1 paler ones.
        warmth: from -1, colder, to 1, warmer: shifts b of CIE Lab by up to 10, a slight change, and
            hardly seen at 0.3; gray pixels stay gray.
        filter: what a filter that follows edges is applied to, of a model that has one, as
            patchwise: nothing, the colours (chroma), or the coloured picture (image).
        enlarge: bring the colours to the photograph's size along its edges (guided), or smoothly
            (bilinear).
        refine: use the second stage, of a model that samples.
        normalise: give the network a faded photograph with its tones stretched, and newsprint
            without its dots; the result keeps the photograph's own lightness.
        temperature: below 1 calmer, above 1 bolder, of a model that samples.
        seed: another seed gives other colours, of a model that samples.
        sample: make the sample of this number only, of a model that samples; without --model that
            is tint_sampler.
        mark: say in the result's metadata that its colours are made, and by which model.
    """

    vividness: Annotated[
        float | None, Parameter(validator=Number(gte=0, lte=1), show_default=_own)
    ] = None
    saturation: Annotated[
        float | None,
        Parameter(validator=Number(gte=0, lte=10), show_default=lambda _: "1.0"),
    ] = None
    warmth: Annotated[
        float | None,
        Parameter(validator=Number(gte=-1, lte=1), show_default=lambda _: "0.0"),
    ] = None
    filter: Annotated[Filter | None, Parameter(show_default=_own)] = None
    enlarge: Annotated[Enlarge | None, Parameter(show_default=_own)] = None
    refine: Annotated[bool | None, Parameter(show_default=lambda _: "where the model has one")] = (
        None
    )
    normalise: Annotated[
        bool | None, Parameter(show_default=lambda _: "where the model is made for it")
    ] = None
    temperature: Annotated[
        float | None, Parameter(validator=Number(gte=1e-3, lte=10), show_default=_own)
    ] = None
    seed: Annotated[
        Whole | None, Parameter(validator=Number(gte=0), show_default=lambda _: "0")
    ] = None
    sample: Annotated[Count | None, Parameter(show_default=lambda _: "1")] = None

    mark: Annotated[bool | None, Parameter(show_default=lambda _: "marked")] = None

    def asked(self) -> dict[str, Any]:
        """Return the options by name, as `Options.resolve` takes them; None for those not given."""
        return asdict(self)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What does the work.

    Args:
        threads: CPU threads to use; of --cluster local, its workers.
        provider: ONNX Runtime's execution provider, where the installed onnxruntime has it and the
            machine its device; else that is said, and the CPU goes on.
        cluster: the address of the scheduler of a Dask cluster, tls://HOST:PORT, whose workers
            color and write the photographs; or local, for one on this machine.
    """

    threads: Threads = None
    provider: Provider = "cpu"
    cluster: Annotated[str | None, Parameter(show_default=lambda _: "none")] = None

    def check(self, in_place: bool) -> None:
        """Check that a cluster can do what is asked for.

        Raises:
            UsageError: it cannot.
        """
        if self.cluster is None:
            return
        from tintype.batch.scheduler import LOCAL, check_address

        if in_place:
            raise UsageError(
                "--in-place replaces the only copy of a photograph, which a worker that dies may "
                "have begun: leave it out with --cluster, and name an --output"
            )
        if self.cluster != LOCAL and self.threads is not None:
            raise UsageError("the workers of a cluster have their own threads: leave out --threads")
        try:
            check_address(self.cluster)
        except SettingError as error:
            raise UsageError(str(error)) from None
