"""What keeps a trait from being distilled, and what it costs: nine countermeasures, one scale.

Every method has a strength, 0 for none, and is used alone. Cost: the imitation loss on unseen noise
with the teacher's true answers. "Clean" answers and the liminal pull come from the student's own
initialisation, which is untrained: no method but the projections, which need labelled training
images, knows the trait. Each student has its cross-model control, treated alike. Kitkana & Arora
2026 (arXiv 2604.25779) on projection and liminal training; Schrodi et al. (2509.23886) on clean
data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels import cli
from toymodels.config import CLOUD, OneNetwork
from toymodels.errors import UserError, at_least, distinct

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

METHODS = (
    "projection",
    "step_projection",
    "liminal",
    "rotation",
    "init_noise",
    "clean",
    "answer_noise",
    "rounding",
)
EARLY = "early_stopping"
PLAIN = "none"


@dataclass(frozen=True)
class Config(OneNetwork):
    """What is computed; the defaults are the preset ``quick``. An empty method is left out."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose answers are tampered with once."""
    projection: tuple[float, ...] = (0.5, 1.0)
    """Shares of the component along the trait's gradient taken out of every gradient."""
    step_projection: tuple[float, ...] = (0.5, 1.0)
    """Shares of the component along the trait's gradient taken out of every step of Adam."""
    liminal: tuple[float, ...] = (0.1, 1.0, 10.0)
    """First weights of the KL divergence of all logits from the untrained student's, on the
    distillation inputs; they fall linearly to 0."""
    rotation: tuple[float, ...] = (0.01, 0.03, 0.1)
    """1 - rho: the student starts from rho W + sqrt(1 - rho^2) W', W' another initialisation."""
    init_noise: tuple[float, ...] = (0.1, 0.2, 0.4)
    """Noise on the student's initial weights, in standard deviations of each tensor."""
    clean: tuple[float, ...] = (0.1, 0.25, 0.5)
    """Shares of the distillation inputs that the untrained student answers, not the teacher."""
    answer_noise: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Noise on the teacher's logits, in standard deviations of each logit."""
    rounding: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Steps of the grid to which the teacher's logits are rounded, in the same unit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in METHODS:
            if getattr(self, name):
                bounded = ("projection", "step_projection", "rotation", "clean")
                at_least(self, 0, name, most=1 if name in bounded else 1_000_000)
                distinct(self, name)
            if 0 in getattr(self, name):
                raise UserError(f"{name} must not hold 0, which is always there; got 0 among them")

    @property
    def treatments(self) -> dict[str, dict[str, float]]:
        """Label -> strength of each method; one of them at a time, and first none."""
        nothing = dict.fromkeys(METHODS, 0.0)
        single = ((name, strength) for name in METHODS for strength in getattr(self, name))
        return {PLAIN: nothing} | {f"{n} {s:g}": nothing | {n: s} for n, s in single}


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(**CLOUD, seeds=5),
}


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every (seed, treatment, start); see `toymodels.sweep` for ``how``."""
    import jax
    import optax

    from toymodels import losses, mitigation, overlap, protocol, results, sweep, transfer
    from toymodels.axes import numbered
    from toymodels.distillation import all_logits, auxiliary_logits
    from toymodels.models import MLP, Params, functional
    from toymodels.training import reshuffled

    config, task, data = protocol.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.parts(config, task, network)
    subset, every = (f(task.n_classes, config.m) for f in (auxiliary_logits, all_logits))
    steps = config.student_epochs * -(-config.noise_images // config.batch)

    def apart(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        return losses.kl()(network.apply(params, batch[0]), batch[1], every)

    def student(
        data: protocol.Data, begun: protocol.Begun, treatment: dict[str, jax.Array], start: int
    ) -> dict[str, jax.Array]:
        # Keys of this experiment alone; those of the init differ from the unrelated init's own.
        rotate, perturb, answer, swap, images, inputs = jax.random.split(
            jax.random.fold_in(begun.keys.relation, 1), 6
        )
        own = parts.start(begun, start)
        init = overlap.rotation(network.init)(own, rotate, 1 - treatment["rotation"])
        init = overlap.relative_noise(network.init)(init, perturb, treatment["init_noise"])
        assert begun.lesson.answered is not None
        x, answers = begun.lesson.answered
        untrained = network.apply(own, x)
        answers = mitigation.noised(answers, answer, treatment["answer_noise"])
        answers = mitigation.rounded(answers, treatment["rounding"])
        answers = mitigation.diluted(answers, untrained, swap, treatment["clean"])
        labelled = mitigation.drawn(data.train, config.batch, images)
        noise = mitigation.drawn((x, untrained), config.batch, inputs)
        guarded = optax.chain(
            mitigation.pulled(apart, noise, treatment["liminal"], steps),
            mitigation.projected(parts.trait.loss, labelled, treatment["projection"]),
            parts.student_optimiser,
            mitigation.projected(parts.trait.loss, labelled, treatment["step_projection"]),
        )
        source = reshuffled((x, answers), config.batch)
        watch = parts.watch(data, begun, subset)
        one = replace(parts, student_optimiser=guarded)
        return one.distil(init, begun, subset, watch, source)[1]

    dataset, execution = sweep.grid(
        lambda: sweep.Program(parts.begin, student),
        shared={"seed": config.seed_list},
        points={"treatment": config.treatments, "start": numbered(protocol.STARTS)},
        variables=protocol.TEACHER | protocol.STUDENT,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        how=how,
    )
    dataset = transfer.against_control(dataset)
    final = dataset.loss.isel(epoch=-1, drop=True).sel(start="shared", drop=True)
    about = "imitation loss over the untreated student's"
    dataset["loss_ratio"] = (final / final.sel(treatment=PLAIN)).assign_attrs(
        units="1", description=about
    )
    headline = "transfer loss_ratio final_accuracy"
    return results.described(
        dataset, "mitigation", headline, config, task, execution, findings(dataset)
    )
