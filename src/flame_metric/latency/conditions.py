"""Conditions: what a trace says of how it was measured, beside what is scored with it.

A latency belongs to a device, a size of frames, a precision, and to what lies inside the timed part. Where a trace says
another than what is scored, the score is that of no network; it may still be what is wanted, so a note says it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from flame_metric.errors import shortened
from flame_metric.latency.trace import LatencyTrace

__all__ = ["Conditions"]

_SHAPE = re.compile(r"\((\d[\d, ]*)\)$")
_WITHOUT_LABELS = "forward"  # a boundary that ends before there are labels
_GENERIC = ("cpu", "cuda")


@dataclass(frozen=True)
class Conditions:
    """How a latency was measured; None and nothing for what is not known.

    Attributes
    ----------
    device : str or None
        The name of a GPU or of a processor.
    precision : str or None
        Of weights and inputs, such as ``"float32"`` or ``"float32 with autocast float16"``.
    boundary : str or None
        What lies inside the timed part.
    inputs : tuple of str
        Type and shape of each kind of input.
    """

    device: str | None = None
    precision: str | None = None
    boundary: str | None = None
    inputs: tuple[str, ...] = ()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Conditions:
        """Read what :func:`~flame_metric.measure_latency` writes into a trace; what has another form is left out.

        Examples
        --------
        >>> Conditions.from_metadata({"device": "cpu", "processor": "a CPU", "dtype": "float32", "autocast": None})
        Conditions(device='a CPU', precision='float32', boundary=None, inputs=())
        """
        known = {name: value for name, value in metadata.items() if isinstance(value, str)}
        device = known.get("device", "cpu")
        precision = known.get("dtype")
        if precision is not None and "autocast" in known:
            precision = f"{precision} with autocast {known['autocast']}"
        inputs = metadata.get("inputs")
        kinds = inputs.get("kinds") if isinstance(inputs, Mapping) else None
        return cls(
            known.get("processor") if device == "cpu" else device,
            precision,
            known.get("boundary"),
            tuple(kind for kind in kinds if isinstance(kind, str)) if isinstance(kinds, list) else (),
        )

    @classmethod
    def of_trace(cls, trace: LatencyTrace) -> Conditions:
        """Return those of a trace; one that was scaled is that of another device."""
        found = cls.from_metadata(trace.metadata)
        return found if "scaled" not in trace.metadata else cls(None, None, found.boundary, found.inputs)

    def notes(
        self, *, sizes: Collection[tuple[int, int]] = (), areas: Collection[int] = (), hardware: str | None = None
    ) -> tuple[str, ...]:
        """Say in which of them the label maps that are scored differ.

        Parameters
        ----------
        sizes : collection of (int, int)
            Height and width of the label maps.
        areas : collection of int
            Where these are not known: their pixels.
        hardware : str, optional
            What the signature says that the latency was measured on.

        Examples
        --------
        >>> found = Conditions(boundary="end_to_end", inputs=("uint8 (512, 1024, 3)",))
        >>> found.notes(sizes={(512, 1024)})
        ()
        >>> print(*found.notes(sizes={(1024, 2048)}))
        The latency was measured on uint8 (512, 1024, 3), but label maps are 1024x2048.
        """
        notes = []
        if self._is_of_other_size(sizes, areas):
            scored = [f"{height}x{width}" for height, width in sorted(sizes)]
            scored = scored or [f"of {area:,} pixels" for area in sorted(areas)]
            inputs = shortened(self.inputs)
            notes.append(f"The latency was measured on {inputs}, but label maps are {shortened(scored)}.")
        if self.boundary == _WITHOUT_LABELS:
            notes.append(
                f"The latency was measured with the boundary {_WITHOUT_LABELS!r}, but what is scored are label maps, "
                "which come later."
            )
        if self.device is not None and hardware is not None and not _is_alike(self.device, hardware):
            notes.append(f"The trace was measured on {self.device}, but the signature says {hardware}.")
        return tuple(notes)

    def differences(self, network: Conditions) -> tuple[str, ...]:
        """Say in which of them a network that is run differs.

        Examples
        --------
        >>> print(*Conditions(precision="float16").differences(Conditions(precision="float32", boundary="end_to_end")))
        The precision of the trace is float16, but that of the network that was run is float32.
        """
        pairs = ((name, getattr(self, name), getattr(network, name)) for name in ("device", "precision", "boundary"))
        return tuple(
            f"The {name} of the trace is {ours}, but that of the network that was run is {theirs}."
            for name, ours, theirs in pairs
            if None not in (ours, theirs) and not (_is_alike(ours, theirs) if name == "device" else ours == theirs)
        )

    def _is_of_other_size(self, sizes: Collection[tuple[int, int]], areas: Collection[int]) -> bool:
        """Whether no two neighbouring lengths of an input are those of a label map."""
        shapes = [match[1] for kind in self.inputs if (match := _SHAPE.search(kind)) is not None]
        found = {
            pair for shape in shapes for pair in pairwise(int(length) for length in shape.split(",") if length.strip())
        }
        if not found or not (sizes or areas):
            return False
        return not (found & {*sizes} if sizes else {height * width for height, width in found} & {*areas})


def _is_alike(one: str, other: str) -> bool:
    """Whether two names may be of one thing: one holds the other, or is only the kind of a device."""
    first, second = one.casefold(), other.casefold()
    return first in second or second in first or bool({first, second} & {*_GENERIC})
