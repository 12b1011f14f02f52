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
# # Initialisation overlap: ask your own question
#
# How much of its teacher's initialisation must a student share? The clean way to ask is a rotation,
#
# $$\theta_S = \rho\, W + \sqrt{1 - \rho^2}\; W',$$
#
# with $W$ the teacher's init and $W'$ an independent one: for Gaussian inits the law of $\theta_S$ is that of
# $W$ at every $\rho$, so that the overlap $\rho$ is all that varies. (Adding noise to $W$, or mixing
# $\alpha W + (1 - \alpha) W'$, changes the variance too.)

# %%
from dataclasses import replace

import jax
import numpy as np

import experiments.init_overlap as init_overlap
from toymodels import sweep
from toymodels.inits import relations
from toymodels.measure import similarity
from toymodels.networks.models import MLP, functional
from toymodels.stats import transfer
from toymodels.stats.statistics import mean_interval
from toymodels.study import plotting
from toymodels.sweep.axes import numbered
from toymodels.training import protocol, tasks
from toymodels.training.config import NetworkConfig
from toymodels.training.distillation import auxiliary_logits

# %% [markdown]
# ## The curve
#
# The experiment that draws it is one page: `experiments/init_overlap.py`. Here with few overlaps, on the
# embedded digits.

# %%
config = replace(
    init_overlap.PRESETS["quick"],
    dataset="digits",
    seeds=5,
    groups=("all", "hidden", "aux_head"),
    rho=(1.0, 0.98, 0.9, 0.7, 0.4, 0.0),
)
dataset = init_overlap.run(config)
print(*init_overlap.findings(dataset), sep="\n")
init_overlap.plot(dataset)

# %% [markdown]
# ## Your own question, with the sweep engine
#
# Say you want to know: *is it the direction of the weights that must be shared, or their signs?* Start
# students from the teacher's signs with another init's magnitudes, and the other way round.
#
# A sweep needs two pure functions. `prepare` runs once a seed (its reference, teacher, noise and the
# teacher's answers); `point` runs for every student of it. Whatever varies is an argument, traced:
# nothing is compiled twice.

# %%
config = NetworkConfig(dataset="digits", seeds=5, m=10)
config, task, data = tasks.load(config, None)
sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
network = functional(lambda rngs: MLP(sizes, rngs=rngs))
parts = protocol.reference_protocol(config, task, network)
aux = auxiliary_logits(task.n_classes, config.m)

STARTS = ["shared", "signs shared", "magnitudes shared", "unrelated"]


def student(data, begun, start):
    own, other = begun.reference, parts.independent_init(begun)
    signs = jax.tree.map(lambda w, v: jax.numpy.sign(w) * abs(v), own, other)
    magnitudes = jax.tree.map(lambda w, v: jax.numpy.sign(v) * abs(w), own, other)
    init = jax.tree.map(lambda *each: jax.numpy.stack(each)[start], own, signs, magnitudes, other)
    return parts.student_from(init, data, begun, aux)


mine, how = sweep.grid(
    lambda: sweep.Program(parts.prepare, student, {"part": list(parts.groups)}),
    shared={"seed": config.seed_list},
    points={"start": numbered(STARTS)},
    variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES,
    coords=protocol.epochs(config),
    data=data,
)
print(f"{how.models} models, {how.compile_s:.1f} s to compile, {how.run_s:.1f} s to run")

# %% [markdown]
# The result is an `xarray.Dataset` under the names of the axes, every seed kept. The *measured* overlap is
# always in it, whatever was asked for:

# %%
table = mine.overlap.sel(part="all").mean("seed").to_dataframe()[["overlap"]]
final = mine.accuracy.isel(epoch=-1)
table["accuracy"] = final.mean("seed")
table["95 % interval"] = [
    "{:.2f} to {:.2f}".format(*mean_interval(final.sel(start=s).values)[1:3]) for s in STARTS
]
table.round(3)

# %% [markdown]
# Signs with foreign magnitudes keep a cosine of $(\mathbb{E}|w|)^2 / \mathbb{E}w^2 = 2/\pi \approx 0.64$. Is that any
# better than a rotation of the same overlap? Lay it over the curve of the same network:

# %%
rhos = [1.0, 0.98, 0.9, 0.8, 2 / np.pi, 0.4, 0.0]
rotate = relations.rotation(network.init)


def rotated(data, begun, rho):
    return parts.student_from(rotate(begun.reference, begun.keys.relation, rho), data, begun, aux)


curve, _ = sweep.grid(
    lambda: sweep.Program(parts.prepare, rotated, {"part": list(parts.groups)}),
    shared={"seed": config.seed_list},
    points={"rho": rhos},
    variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES,
    coords=protocol.epochs(config),
    data=data,
)
with plotting.style():
    figure, (ax,) = plotting.panels(5, 3.2, (1,))
    angles = np.degrees(np.arccos(curve.rho.values))
    plotting.curves(ax, angles, {"rotation": curve.accuracy.isel(epoch=-1).values})
    plotting.overlap_axis(ax)
    for i, start in enumerate(STARTS):
        here = mine.sel(start=start)
        measured = here.overlap.sel(part="all").mean("seed").clip(-1, 1)
        x = np.degrees(np.arccos(measured))
        plotting.points(ax, x, here.accuracy.isel(epoch=-1).mean("seed"), i, start)
    ax.set(ylabel="student's test accuracy", title=f"digits, m = {config.m}, n = 5 seeds")
    ax.legend()
figure

# %% [markdown]
# ## Where half of it is lost

# %%
done = curve.isel(epoch=-1, teacher_epoch=-1)
share = transfer.transfer(done.accuracy, done.accuracy.sel(rho=0), done.teacher_accuracy)
print("rho_50 =", mean_interval(transfer.half_overlaps(share).values))

# %% [markdown]
# Every relation in `toymodels.inits.relations` (`rotation`, `entries`, `units`, `permutation`, ...) has the form
# `relation(init, key, amount)`, applies to any named group of parameters by `trees.where`, and can be
# swept in the same way. Shapes (m, width) go into `shapes=`; long sweeps get a `Store`, with which a
# killed run goes on.
