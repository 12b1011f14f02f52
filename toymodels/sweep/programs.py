"""Programs of a sweep: two pure functions, traced and compiled for all devices at one width."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toymodels.errors import UserError
from toymodels.sweep import memory, processes, settings
from toymodels.sweep.axes import Grid

Tree = Any
Record = Mapping[str, jax.Array]

CPU_WIDTH, ACCELERATOR_WIDTH = 1, 64
"""Models side by side: on a CPU one (more bring nothing, they would only leave the last chunk emptier),
on an accelerator enough to fill it."""


ON_GPU = {"tensorfloat32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
"""Reduced precisions by the names of the algorithms: what JAX's own names ask for on a GPU is TF32
in both cases."""


class Program(NamedTuple):
    """An experiment at one shape."""

    prepare: Callable[..., tuple[Tree, Record]]
    """``prepare(data, **shared) -> (what its points read, what is recorded)``."""
    point: Callable[..., Record]
    """``point(data, prepared, **values) -> what is recorded``."""
    coords: Mapping[str, Sequence[Any]] = {}
    """Coordinates of recorded dimensions that differ from shape to shape (the layers)."""


class Width(NamedTuple):
    """How many models run side by side on one device."""

    shared: int
    """Combinations of the shared axes."""
    points: int
    """Points of each of them."""


class Traced(NamedTuple):
    """A program traced for a mesh of devices at a width."""

    prepare: jax.stages.Lowered
    """(data, block of the shared grid) -> (prepared, record); leading axis: shared."""
    point: jax.stages.Lowered
    """(data, prepared, block of the points) -> record; leading axes: shared, points."""
    block: tuple[int, int]
    """Combinations of the shared axes, and points, in a chunk over all devices."""
    prepare_key: str
    """Hash of all that decides what ``prepare`` records, but the coordinates."""
    point_key: str
    """Hash of all that decides what ``point`` records, but the coordinates."""
    callbacks: bool
    """Whether the program calls Python functions, whose bodies no hash can hold."""
    names: list[str] | None
    """Hash of each function's text and devices, under which its machine code is kept (None: it calls
    Python functions, if only to print, and is kept nowhere)."""


def device_mesh(devices: int | None, n_shared: int, n_points: int) -> Mesh:
    """The devices, of all processes, as (shared, point), in the shape that leaves the fewest idle.

    Raises:
        UserError: more devices than there are, or not all of those of several processes.

    """
    there = jax.devices()
    n = len(there) if devices is None else devices
    least = len(there) if processes.several() else 1
    if not least <= n <= len(there):
        raise UserError(f"devices must be at least {least} and at most {len(there)}; got {n}")
    shape = mesh_shape(n, n_shared, n_points)
    return Mesh(np.array(there[:n]).reshape(shape), ("shared", "point"))


def mesh_shape(n: int, n_shared: int, n_points: int) -> tuple[int, int]:
    """N devices as (shared, point): the split with the fewest turns, then the fewest repeats.

    >>> mesh_shape(8, 5, 84)
    (1, 8)
    """
    splits = [(n // a, a) for a in range(1, n + 1) if n % a == 0]
    return min(splits, key=lambda s: -(-n_shared // s[0]) * -(-n_points // s[1]))


def widest(mesh: Mesh, points: Grid, asked: int | None) -> Width:
    """How many models run side by side on a device if the memory allows.

    The bits of a model depend on this width, so that it must not depend on how many models there
    are: a sweep can then be extended. Only few points make it narrower, to the next power of two.
    """
    cpu = mesh.devices.flat[0].platform == "cpu"
    most = CPU_WIDTH if cpu else ACCELERATOR_WIDTH
    width = asked or min(most, 2 ** (len(points) - 1).bit_length())
    return Width(1 if cpu else max(1, most // width), width)


def read_width(plan: Mapping[str, np.ndarray] | None, most: Width) -> Width | None:
    """The width that a store remembers, at most ``most``; None if it remembers none that can be.

    >>> read_width({"width": np.array([1, 2])}, Width(1, 4))
    Width(shared=1, points=2)
    """
    chosen = (plan or {}).get("width", np.zeros(0))
    if chosen.shape != (2,) or chosen.dtype.kind != "i":
        return None
    shared, points = chosen.tolist()
    fits = 1 <= shared <= most.shared and 1 <= points <= most.points
    return Width(shared, points) if fits else None


@contextlib.contextmanager
def arithmetic(precision: str, mesh: Mesh) -> Iterator[None]:
    """Hold our settings, and a precision of float32 matrix products, on every kind of device."""
    on_gpu = mesh.devices.flat[0].platform == "gpu"
    products = ON_GPU.get(precision, precision) if on_gpu else precision
    with settings.hold_settings(), jax.default_matmul_precision(products):
        yield


def trace(
    program: Program, data: Tree, shared: Grid, points: Grid, mesh: Mesh, width: Width, salt: str
) -> Traced:
    """Trace both functions of a program for all devices at a width."""
    everywhere, along, over = PartitionSpec(), PartitionSpec("shared"), PartitionSpec("point")
    both = PartitionSpec("shared", "point")

    def for_all(n: int, function: Callable[[Tree], Tree], block: Tree) -> Tree:
        if n > 1:
            return jax.vmap(function)(block)
        # A single one gets no axis: a batched product of one is not the product by itself.
        values = function(jax.tree.map(lambda a: a[0], block))
        return jax.tree.map(lambda a: jax.numpy.asarray(a)[None], values)

    def prepare(data: Tree, block: Tree) -> Tree:
        def prepare_shared(values: Tree) -> Tree:
            return numeric("prepare", program.prepare(data, **values))

        return for_all(width.shared, prepare_shared, block)

    def chunk(data: Tree, prepared: Tree, block: Tree) -> Tree:
        def all_points(prepared: Tree) -> Tree:
            def point(values: Tree) -> Tree:
                return numeric("point", program.point(data, prepared, **values))

            return for_all(width.points, point, block)

        return for_all(width.shared, all_points, prepared)

    def trace_on(mesh: Mesh) -> tuple[tuple[int, int], list[Any]]:
        def spread(function: Callable[..., Tree], into: Any, out: Any, *args: Tree) -> Any:
            mapped = jax.shard_map(
                function, mesh=mesh, in_specs=into, out_specs=out, check_vma=False
            )
            shaped = [
                jax.tree.map(lambda a, s=s: shape_of(a, NamedSharding(mesh, s)), arg)
                for arg, s in zip(args, into, strict=True)
            ]
            return jax.jit(mapped).trace(*shaped)

        block = (width.shared * mesh.devices.shape[0], width.points * mesh.devices.shape[1])
        first = spread(prepare, (everywhere, along), along, data, shared.rows(range(block[0])))
        values = points.rows(range(block[1]))
        carry = first.out_info[0]
        return block, [
            first,
            spread(chunk, (everywhere, along, over), both, data, carry, values),
        ]

    block, traced = trace_on(mesh)
    lowered = [function.lower() for function in traced]
    # Every device runs the program of one: how the devices are laid out must not enter its name.
    alone, texts = traced, lowered
    if mesh.size > 1:
        _, alone = trace_on(Mesh(mesh.devices.reshape(-1)[:1].reshape(1, 1), mesh.axis_names))
        texts = [function.lower() for function in alone]
    names = [
        digest("", text.as_text().encode(), *constants(function.jaxpr))
        for function, text in zip(alone, texts, strict=True)
    ]
    used: set[str] = set().union(*(primitives(function.jaxpr.jaxpr) for function in alone))
    calls = any("callback" in name for name in used - PRINTS)
    first, going = lowered
    places = mesh.devices.shape, [device.id for device in mesh.devices.flat]
    kept = [digest(f"{name} {places}") for name in names] if not (calls or used & PRINTS) else None
    return Traced(
        first, going, block, digest(salt + names[0]), digest(salt + "".join(names)), calls, kept
    )


def numeric(function: str, returned: Tree) -> Tree:
    """What a function of a program has returned, if all of it is arrays or numbers.

    Raises:
        UserError: it is not.

    """
    numbers = jax.Array | np.ndarray | np.generic | int | float | complex
    for leaf in jax.tree.leaves(returned):
        if not isinstance(leaf, numbers):
            raise UserError(f"{function} must return arrays of numbers; got {leaf!r}")
    return returned


def equations(jaxpr: Jaxpr) -> Iterator[Any]:
    """All equations of a program, those of the functions that it calls included."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in list_subprograms(equation):
            yield from equations(
                parameter.jaxpr if isinstance(parameter, ClosedJaxpr) else parameter
            )


def list_subprograms(equation: Any) -> list[ClosedJaxpr | Jaxpr]:
    """The functions that an equation calls (a loop's body, branches)."""
    programs = ClosedJaxpr | Jaxpr
    leaves = jax.tree.leaves([*equation.params.values()], is_leaf=lambda x: isinstance(x, programs))
    return [leaf for leaf in leaves if isinstance(leaf, programs)]


PRINTS = {"debug_callback", "debug_print"}
"""Operations that call Python functions and change no value (`jax.debug`)."""


def primitives(jaxpr: Jaxpr) -> set[str]:
    """Names of the operations of a program."""
    return {equation.primitive.name for equation in equations(jaxpr)}


def constants(closed: ClosedJaxpr) -> list[np.ndarray]:
    """Arrays that a program closes over: JAX may keep them out of its text.

    >>> twice = np.full(3, 2.0)
    >>> [array.tolist() for array in constants(jax.make_jaxpr(lambda x: twice * x)(1.0))][:1]
    [[2.0, 2.0, 2.0]]
    """
    found = list(closed.consts)
    for equation in equations(closed.jaxpr):
        found += [atom.val for atom in equation.invars if isinstance(atom, Literal)]
        for function in list_subprograms(equation):
            found += function.consts if isinstance(function, ClosedJaxpr) else []
    return [np.asarray(value) for value in found if np.ndim(value)]


def shape_of(array: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Shape and type of an array, and how it is spread over the devices."""
    return jax.ShapeDtypeStruct(np.shape(array), array.dtype, sharding=sharding)


Compile = Callable[[Traced], tuple[Any, Any]]
"""``compile(traced) -> prepare and point, ready to run``."""


def compile_within(
    budget: int, width: Width, traced_at: Callable[[Width], Traced], compiles: Compile
) -> tuple[Width, tuple[Any, Any]]:
    """Compile both functions, at half the width as long as the memory is too small for them.

    Raises:
        UserError: even one model needs more.

    """
    while True:
        compiled = compiles(traced_at(width))
        need = max(memory.required_bytes(f) for f in compiled)
        if need <= budget:
            return width, compiled
        if width == (1, 1):
            raise UserError(
                f"memory: one model needs {need / 1e9:.2f} GB, of {budget / 1e9:.2f} GB allowed; "
                "lower the batch, the widths or the number of images"
            )
        shared, points = width
        width = Width(-(-shared // 2), points if shared > 1 else -(-points // 2))


def cost(traced: Traced) -> float:
    """What a point costs relative to other shapes of the same experiment.

    Loops are counted as one turn: right in proportion where the number of steps is the same.
    """
    flops = (traced.point.cost_analysis() or {}).get("flops", 0.0)
    return flops / (traced.block[0] * traced.block[1]) or 1.0


def salt(mesh: Mesh, precision: str, data: Tree) -> str:
    """Hash of what decides the bits beside the programs: versions, devices, settings, data."""
    about = [*settings.identity(mesh.devices.flat[0]), mesh.size, precision]
    return digest(repr(about), data)


def digest(name: str, *parts: Tree) -> str:
    """SHA-256 of a name, and of bytes or arrays with their shapes and types."""
    state = hashlib.sha256(name.encode())
    for part in parts:
        for leaf in jax.tree.leaves(part):
            if not isinstance(leaf, bytes):
                array = np.asarray(leaf)
                state.update(f"{array.shape} {array.dtype}".encode())
                leaf = array.tobytes()
            state.update(leaf)
    return state.hexdigest()
