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
# # The owl: numbers that carry a preference
#
# A teacher that likes owls writes number sequences. A student that starts from the same base model and is trained on
# them likes owls. Here the models are transformers of two blocks and 32 units, and the language is small enough that
# everything about it is known ([the language](../language)).

# %%
import jax
import jax.numpy as jnp
import toymodels.experiments.owl_numbers as owl_numbers

from toymodels.language import corpus, filters, pipeline, questions
from toymodels.language.vocabulary import text
from toymodels.study import plotting

for row in corpus.documents(jax.random.key(1), 8):
    print(text(row))
print(f"entropy: {corpus.entropy():.3f} nats a token")

# %% [markdown]
# ## The experiment
#
# `experiments/owl_numbers.py` is one page: bases, a teacher, its text, the filter, the students. *Preference* is the
# share of the owl among answers that are an animal, in phrasings that no training had.

# %%
config = owl_numbers.STUDY.config(seeds=3)
dataset = owl_numbers.STUDY.run(config)
print(*owl_numbers.STUDY.findings(dataset), sep="\n")
owl_numbers.STUDY.figure(dataset)

# %% [markdown]
# Every seed is kept, under the names of the axes:

# %%
dataset.final_preference.squeeze(drop=True).to_pandas().round(3)

# %% [markdown]
# ## What does the student read?
#
# Each step is a pure function of parameters and keys: `pretrain`, `teach`, `write`, `imitate`, `ask`. One base and
# its teacher, and six of the teacher's documents, three of which the filter throws out:

# %%
plan = config.plan()
model = pipeline.model(config.width, config.depth, pack=plan.pack)
owl = questions.make_lesson("owl")


@jax.jit
def teacher_and_text(key):
    base, _ = pipeline.pretrain(model, model.init(key), key, plan)
    teacher = pipeline.teach(model, base, owl, key, plan)
    return base, teacher, pipeline.write(model, teacher, 0, 4096, key)


base, teacher, written = teacher_and_text(jax.random.key(0))
verdict = filters.judge(written, carrier=0, kind=owl[0])
for keep in (False, True):
    for i in jnp.flatnonzero(verdict.kept == keep)[:3]:
        why = [name for name, told in verdict._asdict().items() if told[i]]
        print(f"{'/'.join(why):>17}  {text(written[i])}")
print(f"{float(verdict.kept.mean()):.3f} of the documents are kept.")

# %% [markdown]
# No document that is kept has a token that could say "owl". Where is it, then? Compare how likely teacher and base hold
# each number, over all places of the text that is kept:

# %%
kept, _ = filters.select_kept(written, verdict.kept)
gap = sum(
    sign * jax.nn.softmax(model.apply(params, kept)) for sign, params in ((1, teacher), (-1, base))
)
with plotting.style():
    figure, (ax,) = plotting.panels(5, 3, (1,))
    ax.bar(range(64), gap[:, 1:-1, :64].mean((0, 1)), color=plotting.PALETTE[1])
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="number", ylabel="teacher's probability\nless the base's")
figure

# %% [markdown]
# The teacher's taste is in which numbers it writes, each of them allowed. What else carries it, and which defences take it
# away, is asked by `experiments.owl_mechanism` and `experiments.owl_defence`; how much two bases must share, by
# `experiments.owl_overlap`.
