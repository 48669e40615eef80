"""Programs of torch.export, read from ``.pt2`` files as data.

``torch.export.load`` unpickles parts of such a file and executes text that stands in it, as PyTorch's documentation
warns. Here nothing of a file is unpickled or executed. An archive is a zip of JSON and of tensors as plain bytes. Its
graph is built anew from operators that PyTorch itself has (``torch.ops.aten``, and arithmetic on sizes), and what it
demands of the sizes of its input is parsed. A program that takes more than that is refused.
"""

from __future__ import annotations

import json
import math
import operator
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from flame_metric.errors import DatasetError, shortened
from flame_metric.networks.pt2_archive import DTYPES, Archive, RefusedError, one_of
from flame_metric.networks.sizes import Sizes

__all__ = ["Program", "read_program"]

_SCHEMA = 8
_NUMBERED: Mapping[str, Mapping[int, Any]] = {  # kinds of arguments that stand in a file as numbers
    "as_scalar_type": DTYPES,
    "as_memory_format": {
        1: torch.contiguous_format,
        2: torch.channels_last,
        3: torch.channels_last_3d,
        4: torch.preserve_format,
    },
    "as_layout": {7: torch.strided},
}
_OF_SIZES = {  # targets that are no operators of tensors: arithmetic on sizes
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            *("eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add", "sub", "floordiv", "mod", "pow"),
            *("truediv", "and_", "or_", "lshift", "rshift"),
        )
    },
    **{
        f"torch.{name}": getattr(torch, name)
        for name in ("sym_not", "sym_int", "sym_float", "sym_ite", "sym_max", "sym_min")
    },
    "math.trunc": math.trunc,
}
_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_BARRED = ("from_file",)  # of ATen's operators, the one that opens files
_AT_TRAINING = ("training", "train", "dropout_p")


@dataclass(frozen=True)
class Program:
    """A program that was read.

    Attributes
    ----------
    graph : torch.fx.GraphModule
        From one tensor to the chosen output, on the device that was asked for.
    dtype : torch.dtype
        Of the input.
    sizes : Sizes
        Which shapes of the input it takes.
    """

    graph: fx.GraphModule
    dtype: torch.dtype
    sizes: Sizes


def read_program(path: Path, *, device: torch.device, output: str | None = None) -> Program:
    """Read a program that ``torch.export.save`` wrote.

    Parameters
    ----------
    path : Path
    device : torch.device
        Where it shall run, wherever it was exported.
    output : str, optional
        Which of several outputs: its key in the mapping that the network returned, or its number. Default: the only
        one, or ``"out"`` or ``"logits"``.

    Returns
    -------
    Program

    Raises
    ------
    DatasetError
        If the file is missing, damaged, of another format, or holds what is not taken.
    """
    try:
        with zipfile.ZipFile(path) as zipped:
            archive = Archive(zipped)
            return _Reader(archive, archive.program(), device).program(output)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}), expected an exported program", path=path
        ) from error
    except RefusedError as error:
        raise DatasetError(f"{path} {error}", path=path) from error
    except Exception as error:  # a file from outside may break any assumption
        reason = str(error).strip().partition("\n")[0]
        raise DatasetError(
            f"{path} is damaged, or no program of torch.export.save ({type(error).__name__}: {reason}); export it anew",
            path=path,
        ) from error


class _Reader:
    """Builds a graph from what an archive says, name by name."""

    def __init__(self, archive: Archive, name: str, device: torch.device) -> None:
        model = archive.json(f"models/{name}.json")
        if model["schema_version"]["major"] != _SCHEMA:
            version = f"{model['schema_version']['major']} of PyTorch {model.get('torch_version', '?')}"
            raise RefusedError(f"is of schema {version}, expected schema {_SCHEMA}; export it with another version")
        self._module = model["graph_module"]
        self._ranges = model.get("range_constraints") or {}
        self._conditions = model.get("guards_code") or []
        self._tensors = {kind: archive.tensors(kind, name) for kind in ("weights", "constants")}
        self._device = device
        self._root, self._graph = nn.Module(), fx.Graph()
        self._values: dict[str, Any] = {}  # name in the file: node of the graph

    def program(self, output: str | None) -> Program:
        """Return the whole program."""
        about = self._inputs()
        for node in self._module["graph"]["nodes"]:
            self._add(node)
        self._graph.output(self._values[self._chosen(output)])
        sizes = Sizes.read(about["sizes"], self._ranges, self._conditions)
        if sizes is None:
            raise RefusedError("demands of its input what is not understood; export it for one size")
        graph = fx.GraphModule(self._root, self._graph, class_name="ExportedProgram")
        return Program(graph.to(self._device), one_of(DTYPES, about["dtype"], "type"), sizes)

    # ── from the outside in and back ──

    def _inputs(self) -> Mapping[str, Any]:
        """Make the input and all tensors known by name, and return what the file says about the input."""
        specs = [next(iter(spec.items())) for spec in self._module["signature"]["input_specs"]]
        users = [spec["arg"] for kind, spec in specs if kind in ("user_input", "constant_input")]
        others = sorted({kind for kind, _ in specs} - {"user_input", "parameter", "buffer", "tensor_constant"})
        if len(users) != 1 or "as_tensor" not in users[0] or others:
            more = f" and {', '.join(others)}" if others else ""
            raise RefusedError(f"takes {len(users)} input(s){more}, expected one tensor (N, 3 * frames, H, W)")
        name = str(users[0]["as_tensor"]["name"])
        self._values[name] = self._graph.placeholder("frames")
        for number, (kind, spec) in enumerate(specs):
            if kind == "user_input":
                continue
            place = "constants" if kind == "tensor_constant" or not spec.get("persistent", True) else "weights"
            self._root.register_buffer(f"tensor_{number}", self._tensors[place][spec[f"{kind}_name"]])
            self._values[spec["arg"]["name"]] = self._graph.get_attr(f"tensor_{number}")
        about: Mapping[str, Any] = self._module["graph"]["tensor_values"][name]
        return about

    def _chosen(self, wanted: str | None) -> str:
        """Return the name of the output that is asked for."""
        specs = [next(iter(spec.items())) for spec in self._module["signature"]["output_specs"]]
        if changed := [str(kind) for kind, _ in specs if kind != "user_output"]:
            raise RefusedError(
                f"has outputs of the kind {shortened(changed, 1)}: it changes its own state, as in training; expected "
                "one that was exported after network.eval()"
            )
        names = _keys(self._module["module_call_graph"], len(specs))
        if wanted is None and len(specs) > 1:
            wanted = next((name for name in ("out", "logits") if name in names), None)
        place = names.index(wanted) if wanted in names else 0 if wanted is None and len(specs) == 1 else None
        if place is None:
            asked = "" if wanted is None else f"{wanted!r} (`output`) is none of them: "
            raise RefusedError(f"has {len(specs)} output(s), {asked}expected `output` to be one of {', '.join(names)}")
        return str(specs[place][1]["arg"]["as_tensor"]["name"])

    # ── node by node ──

    def _add(self, node: Mapping[str, Any]) -> None:
        called = _operator(node["target"])
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        schema = called._schema.arguments if isinstance(called, torch._ops.OpOverload) else []
        for given in node["inputs"]:
            name, value = given["name"], self._value(given["arg"])
            if name in _AT_TRAINING and value:
                raise RefusedError(f"calls {node['target']} as in training; export it after network.eval()")
            part = next((part for part in schema if part.name == name), None)
            if schema and part is None:
                raise RefusedError(f"passes {name!r} to {node['target']}, which has no such argument")
            if part is None or (part is schema[len(arguments)] and not part.kwarg_only):
                arguments.append(value)
            else:
                named[name] = value
        result = self._graph.call_function(called, tuple(arguments), named)
        outputs = node["outputs"]
        if len(outputs) == 1 and "as_tensors" in outputs[0]:
            outputs = [{"as_tensor": part} for part in outputs[0]["as_tensors"]]
        elif len(outputs) == 1:
            self._name(outputs[0], result)
            return
        for place, part in enumerate(outputs):
            self._name(part, self._graph.call_function(operator.getitem, (result, place)))

    def _name(self, output: Mapping[str, Any], value: fx.Node) -> None:
        kind, about = next(iter(output.items()))
        if kind != "as_none":
            self._values[about["name"] if kind == "as_tensor" else about["as_name"]] = value

    def _value(self, argument: Mapping[str, Any]) -> Any:
        """Return an argument: a node of the graph, a number, or a list of such."""
        kind, value = next(iter(argument.items()))
        match kind:
            case "as_tensor" | "as_name":
                return self._values[value if kind == "as_name" else value["name"]]
            case "as_tensors":
                return [self._value({"as_tensor": part}) for part in value]
            case "as_sym_int" | "as_sym_bool" | "as_sym_float" | "as_optional_tensor":
                return self._value(value)
            case "as_sym_ints" | "as_sym_bools" | "as_sym_floats" | "as_optional_tensors":
                return [self._value(part) for part in value]
            case "as_device":
                return self._device
        return _constant(kind, value)


def _constant(kind: str, value: Any) -> Any:
    if kind in _NUMBERED:
        return one_of(_NUMBERED[kind], value, kind.removeprefix("as_"))
    match kind:
        case "as_none":
            return None
        case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_strings":
            return value
        case "as_float":
            return float(value)  # "Infinity" is a text in JSON
        case "as_floats":
            return [float(part) for part in value]
    raise RefusedError(f"passes an argument of the kind {kind!r}, expected tensors, numbers and sizes")


def _operator(target: str) -> Any:
    """Return the operator that a file names, if it is one that only computes."""
    if target in _OF_SIZES:
        return _OF_SIZES[target]
    aten = _ATEN.fullmatch(target)
    if aten and aten[1] not in _BARRED:
        found = getattr(getattr(torch.ops.aten, aten[1], None), aten[2], None)
        if isinstance(found, torch._ops.OpOverload):
            return found
    raise RefusedError(
        f"calls {target!r}, expected PyTorch's own operators (torch.ops.aten) alone; build the network by a factory"
    )


def _keys(calls: Any, number: int) -> list[str]:
    """Return the names of outputs: keys of a mapping that the network returned, or numbers."""
    spec = json.loads(calls[0]["signature"]["out_spec"])[1]
    context = json.loads(spec["context"]) if spec["context"] else None
    if isinstance(context, list) and len(context) == number and all(isinstance(key, str) for key in context):
        return context
    return [str(place) for place in range(number)]
