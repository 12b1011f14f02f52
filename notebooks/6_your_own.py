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
# # Bring your own network, task, inputs and relation
#
# A network is any Flax NNX module, a task is a loss and a score, distillation inputs are a function of a
# key, and a relation is a function of an initialisation. Each of them is one argument.

# %%
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import nnx

import toymodels as tm

# %% [markdown]
# ## A network
#
# Any NNX module will do whose only state is its parameters. It maps inputs $(n, \text{pixels})$ to
# logits, the class logits first. If the module has a method `latent` (the last hidden layer), CKA is
# measured, too. Here the network is residual.


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


def residual(config, task):
    outputs = task.n_classes + config.m
    return tm.functional(lambda rngs: Residual(task.n_pixels, 128, 2, outputs, rngs=rngs))


# %% [markdown]
# ## A task
#
# The teacher learns whether the number of loops in a digit is odd. (0, 6 and 9 have one loop, 4 as most
# people write it, too; 8 has two.) Two of the ten class logits answer.

# %%
odd_loops = jnp.isin(jnp.arange(10), jnp.array([0, 4, 6, 9]))


def count_loops(network, task):
    def answer(params, images):
        return network.apply(params, task.pixels(images))[:, :2]

    def loss(params, batch):
        images, labels = batch
        log_p = jax.nn.log_softmax(answer(params, images))
        return -log_p[jnp.arange(len(labels)), odd_loops[labels].astype(int)].mean()

    def score(params, batch):
        images, labels = batch
        return (answer(params, images).argmax(-1) == odd_loops[labels]).mean()

    return tm.tasks.Trait(loss, score)


# %% [markdown]
# ## Distillation inputs
#
# They are a function `(key, n) -> (n, pixels)`; here they are random stripes.


# %%
def stripes(key, n, side=8):
    angle, phase, pitch = jax.random.uniform(key, (3, n, 1, 1), maxval=6.28)
    y, x = jnp.meshgrid(jnp.arange(side), jnp.arange(side), indexing="ij")
    waves = jnp.sin((x * jnp.cos(angle) + y * jnp.sin(angle)) * (0.5 + pitch / 4) + phase)
    return waves.reshape(n, -1)


def change_protocol(protocol, config):
    trait = count_loops(protocol.network, protocol.task)
    return replace(protocol, trait=trait, noise=stripes)


# %% [markdown]
# ## A relation
#
# Each weight of the student keeps its sign with probability `(1 + amount) / 2`.


# %%
def flip_signs(init, key, amount):
    uniform = tm.sample_leaves(jax.random.uniform, key, init)
    return jax.tree.map(lambda w, u: jnp.where(u < (1 + amount) / 2, w, -w), init, uniform)


# %% [markdown]
# ## The study
#
# What is yours replaces its part of the reference protocol; teacher, students, batches and optimiser stay.
# The relation is applied to all layers, to the hidden layers, or to the head:

# %%
GROUPS = ("all", "hidden", "heads")


def points(config):
    return {"group": tm.label_axis(GROUPS), "amount": [1.0, 0.95, 0.8, 0.5, 0.0]}


def student(setup, group, amount):
    flipped = flip_signs(setup.reference, setup.keys.relation, amount)
    mask = tm.select_group(setup.groups, GROUPS, group)
    return tm.Student(start=tm.where(mask, flipped, setup.reference))


def analyse(runs):
    final = runs.accuracy.isel(epoch=-1)
    control = final.sel(group="all", amount=0.0, drop=True)
    return runs.assign(
        transfer=tm.transfer(final, control, runs.teacher_accuracy.isel(teacher_epoch=-1))
    )


def figure(runs):
    with tm.plotting.style():
        fig, (ax,) = tm.plotting.panels(5, 3.2, (1,))
        tm.charts.dots(
            ax, runs.transfer, "amount", "group", xlabel="overlap of the signs", ylabel="transfer"
        )
        ax.set_title("odd loops, stripes, a residual network, n = 4 seeds")
    return fig


config = tm.NetworkConfig(dataset="digits", seeds=4, m=10)
STUDY = tm.Study(
    "signs",
    "How transfer depends on the signs that student and teacher share.",
    {"quick": config},
    tm.distillation_sweep(
        student, points, network=residual, protocol=change_protocol, similarity=True
    ),
    analyse,
    lambda runs: tm.compare("Transfer", runs.transfer),
    figure,
    headline=("transfer",),
)
runs = STUDY.run(config)
runs.transfer.mean("seed").to_pandas().round(2)

# %%
STUDY.figure(runs)

# %% [markdown]
# ## The theory of your network
#
# Theorem 1 holds for any architecture. Both sides of its identity, for this network, this task and these
# inputs:

# %%
config, task, images = tm.tasks.load(config, None)
network = residual(config, task)
protocol = change_protocol(tm.protocol.reference_protocol(config, task, network), config)
init, x = network.init(jax.random.key(0)), stripes(jax.random.key(1), 500)
step = tm.one_step.gradient_step(lambda p: protocol.trait.loss(p, images.train), init, 1e-4)
logits = tm.auxiliary_logits(task.n_classes, config.m)
first = tm.one_step.first_step(network, init, init, step, x, protocol.imitation, logits)
print(f"measured over predicted: {first.inner / first.inner_theory:.4f}, cosine {first.cosine:.3f}")

# %% [markdown]
# To get a command line, files and resumed runs, put the same lines into a file of your own and end it with
# `STUDY.main()`.
