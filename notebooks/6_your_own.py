# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own model, task, inputs and overlap
#
# Nothing in the library needs to be touched: a model is any Flax NNX module, a task is a loss and a score,
# inputs are a function of a key, an overlap is a function of an init. Each is one argument.

# %%
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import nnx

from toymodels import sweep, trees
from toymodels.measure import similarity
from toymodels.networks.groups import select_group
from toymodels.networks.models import functional
from toymodels.stats import transfer
from toymodels.study import plotting
from toymodels.sweep.axes import numbered
from toymodels.theory.one_step import first_step, gradient_step
from toymodels.training import distillation, protocol, tasks
from toymodels.training.config import NetworkConfig

config = NetworkConfig(dataset="digits", seeds=4, m=10)
config, task, data = tasks.load(config, None)

# %% [markdown]
# ## A model
#
# Any NNX module whose only state is its parameters, from inputs $(n, \text{pixels})$ to logits, class logits
# first. With a `latent` method (the last hidden layer) CKA is measured too. Here a residual network.


# %%
class Residual(nnx.Module):
    def __init__(self, pixels: int, width: int, blocks: int, outputs: int, *, rngs: nnx.Rngs):
        self.embed = nnx.Linear(pixels, width, rngs=rngs)
        self.blocks = blocks
        for i in range(blocks):
            setattr(self, f"block{i}", nnx.Linear(width, width, rngs=rngs))
        self.head = nnx.Linear(width, outputs, rngs=rngs)

    def latent(self, x):
        x = self.embed(x)
        for i in range(self.blocks):
            x = x + nnx.gelu(getattr(self, f"block{i}")(x))
        return x

    def __call__(self, x):
        return self.head(self.latent(x))


outputs = task.n_classes + config.m
network = functional(lambda rngs: Residual(task.n_pixels, 128, 2, outputs, rngs=rngs))

# %% [markdown]
# ## A task
#
# What the teacher learns, and how it is told whether a network has it. Here: is the digit's loop count odd?
# (0, 6 and 9 have one loop, 4 too as most people write it, 8 has two.) Two of the ten class logits answer.

# %%
odd_loops = jnp.isin(jnp.arange(10), jnp.array([0, 4, 6, 9]))


def loss(params, batch):
    images, digits = batch
    logits = network.apply(params, task.pixels(images))[:, :2]
    return -jax.nn.log_softmax(logits)[
        jnp.arange(len(digits)), odd_loops[digits].astype(int)
    ].mean()


def score(params, batch):
    images, digits = batch
    logits = network.apply(params, task.pixels(images))[:, :2]
    return (logits.argmax(-1) == odd_loops[digits]).mean()


# %% [markdown]
# ## Inputs
#
# A function `(key, n) -> (n, pixels)`: here random stripes.


# %%
def stripes(key, n):
    side = int(task.n_pixels**0.5)
    angle, phase, pitch = jax.random.uniform(key, (3, n, 1, 1), maxval=6.28)
    y, x = jnp.meshgrid(jnp.arange(side), jnp.arange(side), indexing="ij")
    waves = jnp.sin((x * jnp.cos(angle) + y * jnp.sin(angle)) * (0.5 + pitch / 4) + phase)
    return waves.reshape(n, -1)


# %% [markdown]
# ## An overlap
#
# `relation(init, key, amount) -> init`. Here: the student is its teacher's init after `amount` steps of a
# random walk in sign space: each weight keeps its sign with probability `(1 + amount) / 2`.


# %%
def sign_flips(init, key, amount):
    uniform = trees.sample_leaves(jax.random.uniform, key, init)
    return jax.tree.map(lambda w, u: jnp.where(u < (1 + amount) / 2, w, -w), init, uniform)


# %% [markdown]
# ## The sweep
#
# Replace what is yours in the reference protocol; the rest (teacher, students, batches, optimiser) stays.
# The same overlap in all layers, in the blocks, or in the head:

# %%
parts = replace(
    protocol.reference_protocol(config, task, network),
    trait=tasks.Trait(loss, score),
    noise=stripes,
)
aux = distillation.auxiliary_logits(task.n_classes, config.m)
groups = ("all", "hidden", "heads")


def student(data, begun, group, amount):
    moved = sign_flips(begun.reference, begun.keys.relation, amount)
    where = select_group(parts.groups, groups, group)
    init = trees.where(where, moved, begun.reference)
    return parts.student_from(init, data, begun, aux)


dataset, how = sweep.grid(
    lambda: sweep.Program(parts.prepare, student, {"part": list(parts.groups)}),
    shared={"seed": config.seed_list},
    points={"group": numbered(groups), "amount": [1.0, 0.95, 0.8, 0.5, 0.0]},
    variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES,
    coords=protocol.epochs(config),
    data=data,
)
final = dataset.accuracy.isel(epoch=-1)
final.mean("seed").to_pandas().round(2)

# %%
teacher = dataset.teacher_accuracy.isel(teacher_epoch=-1)
control = final.sel(group="all", amount=0.0)
share = transfer.transfer(final, control, teacher)
with plotting.style():
    figure, (ax,) = plotting.panels(5, 3.2, (1,))
    lines = {str(g): share.sel(group=g).values for g in groups}
    plotting.intervals(ax, dataset.amount.values, lines, "overlap of the signs", "transfer")
    ax.set_title("odd loops, stripes, a residual network, n = 4 seeds")
figure

# %% [markdown]
# ## The theory, of your model
#
# Theorem 1 knows nothing of the architecture: both sides of its identity, for this network, this task and
# these inputs.

# %%
init = network.init(jax.random.key(0))
step = gradient_step(lambda p: loss(p, data.train), init, 1e-4)
x = stripes(jax.random.key(1), 500)
found = first_step(network, init, init, step, x, parts.imitation, aux)
print(f"measured over predicted: {found.inner / found.inner_theory:.4f}, cosine {found.cosine:.3f}")

# %% [markdown]
# To make it an experiment with a command line, files and a resume: put `Config`, `run` and `plot` into a file
# of your own and end it with `toymodels.study.cli.main("mine", __doc__, PRESETS, run, plot)`.
