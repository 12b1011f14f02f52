"""Programs of a sweep: two pure functions, traced and compiled for all devices at one width."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toymodels import memory, processes
from toymodels.axes import Grid
from toymodels.errors import UserError

Tree = Any
Record = Mapping[str, jax.Array]

CPU_WIDTH, ACCELERATOR_WIDTH = 8, 64
"""Models side by side: on a CPU as many as its caches like, on an accelerator enough to fill it."""


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
    key: str
    """Hash of all that decides the values but the coordinates."""


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


def widest(mesh: Mesh, shared: Grid, points: Grid, asked: int | None) -> Width:
    """How many models side by side if the memory allows."""
    if asked is not None and asked < 1:
        raise UserError(f"chunk must be at least 1; got {asked}")
    cpu = mesh.devices.flat[0].platform == "cpu"
    most = asked or (CPU_WIDTH if cpu else ACCELERATOR_WIDTH)
    each_shared, each_points = (
        -(-len(grid) // n) for grid, n in zip((shared, points), mesh.devices.shape, strict=True)
    )
    chunks = -(-each_points // most)
    width = asked or -(-each_points // chunks)  # as even as whole chunks can be
    turns = -(-each_shared // max(1, most // width))
    return Width(1 if cpu else -(-each_shared // turns), width)


def products(precision: str, mesh: Mesh) -> AbstractContextManager[None]:
    """A context in which float32 matrix products have a precision, on every kind of device."""
    on_gpu = mesh.devices.flat[0].platform == "gpu"
    return jax.default_matmul_precision(ON_GPU.get(precision, precision) if on_gpu else precision)


def trace(
    program: Program, data: Tree, shared: Grid, points: Grid, mesh: Mesh, width: Width, salt: str
) -> Traced:
    """Trace both functions of a program for all devices at a width."""
    everywhere, along, over = PartitionSpec(), PartitionSpec("shared"), PartitionSpec("point")
    both = PartitionSpec("shared", "point")

    def each(one: Callable[[Tree], Tree], block: Tree) -> Tree:
        if width.shared > 1:
            return jax.vmap(one)(block)
        # One alone gets no axis: a batched product of one is not the product by itself.
        return jax.tree.map(lambda a: a[None], one(jax.tree.map(lambda a: a[0], block)))

    def prepare(data: Tree, block: Tree) -> Tree:
        return each(lambda values: program.prepare(data, **values), block)

    def chunk(data: Tree, prepared: Tree, block: Tree) -> Tree:
        def all_points(one: Tree) -> Tree:
            return jax.vmap(lambda values: program.point(data, one, **values))(block)

        return each(all_points, prepared)

    def lower(f: Callable[..., Tree], into: Any, out: Any, *args: Tree) -> jax.stages.Lowered:
        mapped = jax.shard_map(f, mesh=mesh, in_specs=into, out_specs=out, check_vma=False)
        shaped = [
            jax.tree.map(lambda a, s=s: shape_of(a, NamedSharding(mesh, s)), arg)
            for arg, s in zip(args, into, strict=True)
        ]
        return jax.jit(mapped).lower(*shaped)

    block = (width.shared * mesh.devices.shape[0], width.points * mesh.devices.shape[1])
    first = shared.block(0, block[0])
    begun = lower(prepare, (everywhere, along), along, data, first)
    carry = begun.out_info[0]
    going = lower(chunk, (everywhere, along, over), both, data, carry, points.block(0, block[1]))
    text = (lowered.as_text().encode() for lowered in (begun, going))
    return Traced(begun, going, block, digest(salt, *text))


def shape_of(array: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Shape and type of an array, and how it is spread over the devices."""
    return jax.ShapeDtypeStruct(np.shape(array), array.dtype, sharding=sharding)


def compiled_now(traced: Traced) -> tuple[Any, Any]:
    """Compile both functions."""
    return traced.prepare.compile(), traced.point.compile()


def compile_within(
    budget: int, width: Width, traced_at: Callable[[Width], Traced]
) -> tuple[Width, tuple[Any, Any]]:
    """Compile both functions, at half the width as long as the memory is too small for them.

    Raises:
        UserError: even one model needs more.

    """
    while True:
        compiled = compiled_now(traced_at(width))
        need = max(memory.needed(f) for f in compiled)
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
    """Hash of what decides the bits beside the programs: versions, devices, flags, data."""
    device = mesh.devices.flat[0]
    about = [
        *(metadata.version(name) for name in ("jax", "jaxlib", "toymodels")),
        device.platform,
        device.device_kind,
        mesh.devices.shape,
        precision,
        os.environ.get("XLA_FLAGS", ""),
    ]
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
