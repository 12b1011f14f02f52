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
# What does a *single* auxiliary logit transfer? In the protocol of Cloud et al. (Nature 2026) nothing: 0.103, chance.
# Brockers et al. (arXiv 2605.23645) report 0.83. Their protocols differ in three things at once: the loss
# (KL against squared error), the noise (one fixed set against fresh noise at every step), and how long students
# are trained. In one tool all three are fields of one `Config`; cross them and look.

# %%
import toymodels.experiments.aux_count as aux_count

import toymodels as tm

config = aux_count.Config(
    dataset="digits",
    seeds=4,
    m=(1,),
    loss=("kl", "mse"),
    noise=("fixed", "fresh"),
    noise_images=4000,
    student_epochs=40,
)
dataset = aux_count.STUDY.run(config)

# %% [markdown]
# Each student is paired with a cross-model control: the same lesson from another init. Transfer is its accuracy
# above the control's, over the teacher's above it. The learning curves come free, and so does the dependence on
# training time:

# %%
share = dataset.transfer.sel(m=1)
print(*tm.compare("Transfer through one logit", share), sep="\n")

# %%
with tm.plotting.style():
    figure, (left, right) = tm.plotting.panels(9, 3, (1, 1))
    for ax, start in ((left, "shared"), (right, "other")):
        here = dataset.accuracy.sel(m=1, start=start)
        lines = {
            f"{loss}, {noise} noise": here.sel(imitation=loss, noise=noise).values
            for loss in config.loss
            for noise in config.noise
        }
        tm.plotting.curves(ax, dataset.epoch.values, lines)
        ax.set(xlabel="distillation epoch", ylim=(0, 1), title=f"{start} init")
    left.set(ylabel="test accuracy (digits, n = 4 seeds)")
    right.legend()
figure

# %% [markdown]
# **The loss decides.** The KL divergence of two softmaxes over one logit is zero, whatever the logits are, and so is
# its gradient: those students have not moved at all, to the bit.

# %%
kl = dataset.accuracy.sel(m=1, imitation="kl", start="shared")
print("largest change of accuracy under KL:", float(abs(kl - kl.isel(epoch=0)).max()))

# %% [markdown]
# A squared error sees the logit itself, and one direction of the latent space at a time is enough, given time.
# Is it the fresh noise, then, that brings it so high, or only the number of steps? Both students take the same
# number; seeds are paired:

# %%
mse = dataset.accuracy.sel(m=1, imitation="mse", start="shared")
for epoch in (5, 10, 20, 40):
    gap = tm.difference(
        *(mse.sel(epoch=epoch, noise=noise, drop=True) for noise in ("fresh", "fixed"))
    )
    print(f"epoch {epoch}: fresh less fixed noise {gap}")

# %% [markdown]
# So both papers are right about what they ran. The first difference between them is the loss: with KL one logit
# carries exactly nothing, in any protocol. What fresh noise adds is said by the intervals above, at each length of
# training by itself. On MNIST: `python -m experiments.aux_count --preset one`.
