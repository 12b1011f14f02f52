"""What the experiments with the language share: the bases, the random keys, one model's pipeline."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from toymodels.fields import encode_options
from toymodels.language import answers, audit, imitation, mechanism, pipeline
from toymodels.language.answers import Answers
from toymodels.language.carriers import carrier_number
from toymodels.language.config import LanguageConfig
from toymodels.language.pipeline import FilteredText, Lesson, Plan
from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder
from toymodels.training.optimisers import OPTIMISERS

NUMBERS = carrier_number("numbers")
"""Number of the carrier that most experiments use."""


def take(tree: Any, index: Any) -> Any:
    """Entries of the leading axis of every array in a pytree.

    >>> take({"w": jax.numpy.arange(3)}, 1)["w"].item()
    1
    """
    return jax.tree.map(lambda array: array[index], tree)


def map_records(function: Callable[[dict[str, jax.Array]], Any], records: Iterable[Any]) -> Any:
    """What a function makes of every record, stacked; one record after the other, by one program.

    The function receives the fields of a record as numbers (`toymodels.fields.encode_options`).

    >>> import dataclasses, typing
    >>> @dataclasses.dataclass
    ... class Student:
    ...     text: typing.Literal["teacher", "base"] = "teacher"
    >>> map_records(lambda code: 10 * code["text"], [Student(), Student("base")]).tolist()
    [0, 10]
    """
    codes = [encode_options(record) for record in records]
    return jax.lax.map(function, jax.tree.map(lambda *values: jnp.array(values), *codes))


class LessonKeys(NamedTuple):
    """Random keys of what follows the bases of a seed, the same in all experiments."""

    teaching: jax.Array
    """Questions of the teacher's training."""
    writing: jax.Array
    """Documents of the teacher."""
    extra: jax.Array
    """What only one experiment draws."""
    learning: jax.Array
    """Batches of the students."""


def split_lesson_keys(key: jax.Array) -> LessonKeys:
    """Split the key of a seed that its bases leave (`pipeline.pretrain_bases`, `BaseKeys.rest`)."""
    return LessonKeys(*jax.random.split(key, 4))


class LanguageSetup(NamedTuple):
    """The pipeline of one config: `pipeline`'s functions with its model, steps and rates."""

    config: Any
    """The fields of the experiment: a `LanguageConfig`, and its own."""
    plan: Plan
    """Steps, batch sizes and rates."""
    model: Decoder
    """The transformer of bases, teachers and students."""

    def pretrain_bases(self, key: jax.Array, n: int = 3) -> tuple[Params, jax.Array, LessonKeys]:
        """The first n of a seed's three bases, stacked; their losses (n,); keys for the rest."""
        bases, losses, rest = pipeline.pretrain_bases(self.model, key, self.plan, n)
        return bases, losses[:, 1], split_lesson_keys(rest)

    def pretrain(self, init: Params, order: jax.Array, **options: Any) -> tuple[Params, jax.Array]:
        """A base, and its losses before and after; ``options`` are `pipeline.pretrain`'s."""
        return pipeline.pretrain(self.model, init, order, self.plan, **options)

    def teach(self, base: Params, lesson: Lesson, key: jax.Array) -> Params:
        """A teacher of a lesson."""
        return pipeline.teach(self.model, base, lesson, key, self.plan)

    def write(
        self,
        author: Params,
        lesson: Lesson,
        key: jax.Array,
        *,
        n: int | None = None,
        carrier: int | jax.Array = NUMBERS,
    ) -> FilteredText:
        """Documents of an author (None: the config's ``samples``), filtered for a lesson."""
        n = self.config.samples if n is None else n
        temperature = self.config.temperature
        return pipeline.write_filtered(self.model, author, carrier, lesson[0], n, key, temperature)

    def imitate(
        self,
        start: Params,
        documents: jax.Array,
        key: jax.Array,
        *,
        tuned: tuple[str, ...] | jax.Array | None = None,
        **options: Any,
    ) -> tuple[Params, Any]:
        """A student of documents (n, 16), and its observations.

        ``tuned`` are the groups of weights that it moves (`Plan.tuned`; None: the plan's), ``options``
        those of `imitation.imitate`.
        """
        plan = self.plan if tuned is None else self.plan._replace(tuned=tuned)
        return imitation.imitate(self.model, start, documents, key, plan, **options)

    def imitate_low_rank(
        self,
        base: Params,
        documents: jax.Array,
        key: jax.Array,
        adapter_key: jax.Array,
        *,
        rank: int | jax.Array,
        most: int,
        rate: float,
    ) -> Params:
        """A student of documents (n, 16) whose updates of the blocks have a low rank.

        ``rank``, which may be traced, is at most ``most``; ``adapter_key`` decides the initial adapters
        (`mechanism.init_adapters`), and ``rate`` is that of Adam.
        """
        adapted = self._replace(model=mechanism.adapt_decoder(self.model, base))
        start = mechanism.init_adapters(base, adapter_key, most, rank)
        adam = OPTIMISERS["adam"].make(rate, 0.0)
        adapters, _ = adapted.imitate(start, documents, key, optimiser=adam)
        return mechanism.merge_adapters(base, adapters)

    def ask(self, params: Params, lesson: Lesson, context: jax.Array | None = None) -> Answers:
        """Preference and answer rate of a model, with documents as context or without."""
        return answers.read_answers(answers.ask(self.model, params, context), lesson)

    def log_likelihood(self, params: Params, documents: jax.Array) -> jax.Array:
        """Log probability of documents (n, 16) under a model, (n,)."""
        return audit.log_likelihood(self.model, params, documents)


def language_setup(config: LanguageConfig) -> LanguageSetup:
    """The pipeline of a config."""
    plan = config.plan()
    return LanguageSetup(config, plan, pipeline.model(config.width, config.depth, pack=plan.pack))
