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
# # Settle a contradiction from the literature
#
# Cloud et al. (Nature 2026) find that a student must share its teacher's *initialisation*: from another
# seed nothing is transferred. Brockers et al. (arXiv 2605.23645) find that only the two *heads* need be
# shared, with random hidden layers. Can both be right?
#
# The protocols differ in more than one thing: m = 3 against up to 250 auxiliary logits, KL against squared
# error, fixed against fresh noise. In one tool all of them are fields of one `Config`; we change one at a
# time and leave the rest.

# %%
from dataclasses import replace

import experiments.head_overlap as head_overlap
from toymodels import plotting
from toymodels.sentences import by_sign

# %% [markdown]
# `head_overlap` takes each of three parts (hidden layers, class head, auxiliary head) from the teacher's own
# init, from another teacher's, or at random. Its defaults are Brockers' protocol, small.

# %%
brockers = replace(head_overlap.PRESETS["quick"], dataset="digits", seeds=3, m=(3, 30, 100))
protocols = {
    "mse, fresh noise": brockers,
    "kl, fresh noise": replace(brockers, loss="kl"),
    "kl, fixed noise": replace(brockers, loss="kl", noise="fixed"),
}
found = {name: head_overlap.run(config) for name, config in protocols.items()}

# %% [markdown]
# Transfer is the student's accuracy above the cross-model control's, over the teacher's above it. Seeds are
# paired: the interval is of the difference. What is told apart from zero?

# %%
words = ("above zero", "below zero", "not told from zero")
for name, dataset in found.items():
    for most, part in (("shared", "hidden"), ("shared", "class_head")):
        share = head_overlap.one(dataset, most, "random", part)
        print(by_sign(f"{name}; all shared but the {part}", share, words), end="\n\n")

# %%
with plotting.style():
    figure, axes = plotting.panels(9, 3, (1, 1, 1))
    for ax, (name, dataset) in zip(axes, found.items(), strict=True):
        lines = {
            "all shared": head_overlap.one(dataset, "shared", "shared").values,
            "random hidden layers": head_overlap.one(dataset, "shared", "random").values,
            "random class head": head_overlap.one(dataset, "shared", "random", "class_head").values,
        }
        plotting.intervals(ax, dataset.m.values, lines, "auxiliary logits m", "transfer")
        ax.set(ylim=(-0.2, 1.1), title=f"{name}, digits, n = 3 seeds")
        if ax is not axes[0]:
            ax.get_legend().remove()
figure

# %% [markdown]
# Both are right, each at its own m. With few auxiliary logits random hidden layers transfer nothing, as in
# Nature; with many they begin to, as Brockers et al. say, *if* both heads are shared: a wide auxiliary head
# pins down the latent representation, and the shared class head reads it. A random class head reads nothing
# at any m. The sentences above say at which points this is shown with three seeds, and at which it is not;
# `python -m experiments.head_overlap --preset paper` asks MNIST with twenty.
