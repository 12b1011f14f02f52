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
# How much of its teacher's initialisation must a student share? A rotation asks this and nothing else:
#
# $$\theta_S = \rho\, W + \sqrt{1 - \rho^2}\; V,$$
#
# with $W$ the teacher's initialisation and $V$ an independent one. For Gaussian initialisations the
# distribution of $\theta_S$ is that of $W$ at every $\rho$, so that the overlap $\rho$ is the only thing
# that changes. (Adding noise to $W$, or mixing $\alpha W + (1 - \alpha) V$, changes the variance, too.)

# %%
import jax
import jax.numpy as jnp
import numpy as np
from toymodels.experiments import init_overlap

import toymodels as tm

# %% [markdown]
# ## The curve
#
# The experiment that draws it is one page: `experiments/init_overlap.py`. Here it runs with few overlaps,
# on the embedded digits.

# %%
config = init_overlap.STUDY.config(
    dataset="digits",
    seeds=5,
    groups=("all", "hidden", "aux_head"),
    rho=(1.0, 0.98, 0.9, 0.7, 0.4, 0.0),
)
runs = init_overlap.STUDY.run(config)
print(*init_overlap.STUDY.findings(runs), sep="\n")
init_overlap.STUDY.figure(runs)

# %% [markdown]
# ## Your own question
#
# Say you want to know whether the *signs* of the weights must be shared, or their magnitudes. Start
# students from the teacher's signs with the magnitudes of an independent initialisation, and the other
# way round.
#
# A student is a record of what differs from the reference protocol: here its initialisation alone. What
# varies is an argument of the function, and traced: nothing is compiled twice. `setup` holds what the
# students of a seed share: the reference, an independent initialisation, the teacher, its answers.

# %%
STARTS = ["shared", "shared signs", "shared magnitudes", "independent"]


def student(setup, start):
    w, v = setup.reference, setup.independent
    signs = jax.tree.map(lambda w, v: jnp.sign(w) * abs(v), w, v)
    magnitudes = jax.tree.map(lambda w, v: jnp.sign(v) * abs(w), w, v)
    inits = jax.tree.map(lambda *leaves: jnp.stack(leaves), w, signs, magnitudes, v)
    return tm.Student(start=jax.tree.map(lambda leaf: leaf[start], inits))


config = tm.NetworkConfig(dataset="digits", seeds=5, m=10)
signs = tm.Study(
    "signs",
    "Whether signs or magnitudes must be shared.",
    {"quick": config},
    tm.distillation_sweep(
        student, lambda config: {"start": tm.label_axis(STARTS)}, similarity=True
    ),
    lambda runs: runs.assign(final=runs.accuracy.isel(epoch=-1)),
    lambda runs: tm.compare("Test accuracy", runs.final, None),
    lambda runs: None,
    headline=("final",),
).run(config)

# %% [markdown]
# The result is an `xarray.Dataset` with the names of the axes and every seed. With `similarity=True` the
# *measured* overlap is in it, too:

# %%
table = signs.overlap.sel(part="all").mean("seed").to_dataframe()[["overlap"]]
table["accuracy"] = signs.final.mean("seed")
table["95 % interval"] = [
    "{:.2f} to {:.2f}".format(*tm.interval(signs.final.sel(start=start))[1:3]) for start in STARTS
]
table.round(3)

# %% [markdown]
# Shared signs with independent magnitudes keep a cosine of
# $(\mathbb{E}|w|)^2 / \mathbb{E}w^2 = 2/\pi \approx 0.64$. Is that better than a rotation of the same
# overlap? The curve of the rotation for the same network answers:

# %%
overlap = init_overlap.Config(
    dataset="digits",
    seeds=5,
    m=(10,),
    groups=("all",),
    rho=(1.0, 0.98, 0.9, 0.8, 2 / np.pi, 0.4, 0.0),
)
rotated = init_overlap.STUDY.run(overlap)
angle = np.degrees(np.arccos(rotated.rho.values))
final = rotated.accuracy.squeeze(drop=True).isel(epoch=-1)
with tm.plotting.style():
    figure, (ax,) = tm.plotting.panels(5, 3.2, (1,))
    lines = final.assign_coords(rho=angle).rename(rho="angle")
    tm.charts.lines(ax, lines, "angle", also={}, label="rotation")
    tm.plotting.overlap_axis(ax)
    for i, start in enumerate(STARTS):
        measured = signs.overlap.sel(start=start, part="all").mean("seed").clip(-1, 1)
        mean = signs.final.sel(start=start).mean("seed")
        tm.plotting.points(ax, np.degrees(np.arccos(measured)), mean, i, start)
    ax.set(ylabel="student's test accuracy", title=f"digits, m = {config.m}, n = 5 seeds")
    ax.legend()
figure

# %% [markdown]
# ## Where half of it is lost

# %%
print("rho_50 =", tm.interval(rotated.rho_50.squeeze(drop=True)))

# %% [markdown]
# Every relation in `toymodels.inits.relations` (`rotation`, `entries`, `units`, `permutation`, ...) has the
# form `relation(init, key, amount)`. `tm.where(mask, related, init)` applies it to a named group of
# parameters alone. Shapes (m, width) go into `shapes=`. A long sweep gets a `tm.Store`, with which a
# killed run continues where it was: `STUDY.run(config, options=tm.RunOptions(store=tm.Store(folder)))`.
