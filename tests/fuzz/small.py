"""Every experiment at its smallest: seconds of compiling, and hardly any training."""

import dataclasses

import experiments

SMALL = {
    "dataset": "digits",
    "seeds": 2,
    "train_images": 128,
    "noise_images": 64,
    "batch": 16,
    "teacher_epochs": 1,
    "student_epochs": 1,
    "width": 16,
    "widths": (8,),
    "depth": 1,
    "base_steps": 20,
    "teacher_steps": 2,
    "student_steps": 2,
    "probe_images": 64,
    "rho": (1.0, 0.0),
}
"""Values of fields, for the experiments that have them; an axis has this value alone."""

OWN = {
    "architecture": {"m": (3,), "depth": (1, 2), "activation": ("relu",)},
    "aux_count": {"m": (1, 3), "loss": ("kl",)},
    "behavioural_cloning": {"m": 5, "matching_epochs": (0, 1), "matching_inputs": (64,)},
    "bits": {"m": 3, "queries": (16, 64), "bits": (1,)},
    "chain": {"m": (3,), "samples": (64,), "generations": 2},
    "frozen_heads": {"widths": (16,), "heads": ("frozen",)},
    "head_overlap": {"m": (3,)},
    "init_overlap": {"groups": ("all",)},
    "init_parts": {"m": 3},
    "input_distribution": {"inputs": ("uniform", "gaussian")},
    "lineage": {"m": (3,), "teachers": 2, "queries": (1, 3), "directions": 2},
    "loss": {"temperatures": (1.0,), "draws": (1,)},
    "modular_aux": {"m": (1, 3), "p": 3, "others": 4, "width": 8, "sequences": 128},
    "optimisation": {"optimiser": ("adam", "sgd"), "rate": (1.0,)},
    "optimiser_state": {"beta2": (0.9,)},
    "overlap_modes": {"m": 3},
    "owl_audit": {"samples": 64, "audited": 64, "documents": (1, 4)},
    "owl_defence": {"samples": 64, "observations": 2},
    "owl_mechanism": {"samples": 64, "ranks": (1,)},
    "owl_numbers": {"samples": 64, "observations": 2, "reads": ("numbers",)},
    "owl_overlap": {"samples": 64, "rho": (0.9, 0.0), "shared": (0, 10)},
    "persistence": {"direct_steps": 4, "tune_steps": 1, "records": 3, "tuning": ("images",)},
    "predictors": {"m": (3,), "images": (10, 64), "rows": 64},
    "pretrained": {"pretraining": ("same",), "pretraining_epochs": (1,)},
    "robustness": {"m": 3, "eps": (0.3,), "attack_steps": 2, "attacked_images": 64},
    "storage": {"bits": (3, 23), "stored": ("weights",)},
    "student_shape": {"m": (3,), "widths": (8, 6), "student": ("same",), "channels": (2, 3)},
    "tasks": {"tasks": ("parity",)},
    "theory_collapse": {"m": (1, 2), "samples": (16, 64)},
    "theory_gap": {"approximation": ("exact",), "optimiser": ("adam",)},
    "theory_linear": {"laws": ("energies",)},
    "theory_linearised": {"m": 3, "teacher_lr": (0.1,), "krylov": 8, "student_epochs": 16},
    "theory_one_step": {"eps": (0.1,), "search_images": 4, "search_steps": 4},
    "theory_overlap": {"m": (2,), "told": 64, "draws": 2, "solver_steps": 5},
    "theory_path": {"m": (2,), "pieces": (1,), "solver_steps": 3},
    "trajectory": {"optimiser": ("adam",), "records": 4},
}


def fields(name: str) -> dict[str, object]:
    """Values of the fields of an experiment's config that make it small."""
    quick = experiments.load_study(name).presets["quick"]
    found = {}
    for field in dataclasses.fields(quick):
        if field.name in OWN.get(name, {}):
            found[field.name] = OWN[name][field.name]
        elif field.name in SMALL:
            value, default = SMALL[field.name], getattr(quick, field.name)
            alone = isinstance(default, tuple) and not isinstance(value, tuple)
            found[field.name] = (value,) if alone else value
    return found


def words(field: str, value: object) -> list[str]:
    """An option of a command line."""
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{field.replace('_', '-')}", *map(str, values)]
