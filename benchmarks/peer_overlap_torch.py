"""Two PyTorch peers for the sweep of transfer against the overlap of the initialisations, on a CPU.

For every seed a teacher trains on MNIST from a reference initialisation W. For every seed and every
overlap rho a student starts from rho W + sqrt(1 - rho^2) W' and learns the teacher's auxiliary
logits on noise. Each is tested at its start and after each epoch. One line of JSON says how long it
took, how much memory, and how accurate each model was.

`--way process` restates the published sweep scripts: a process trains one teacher and one student,
with a map-style dataset, data loaders, `nn.Linear` and Adam, all as PyTorch's tutorials have them.
Its seed fixes all but the overlap: the teacher, its batches, the noise.

`--way batched` is all in one process and in memory: the teachers at once, the students of a seed on
the same batches of noise, their teacher's outputs on it computed once. `--layers bmm` is what a
careful user would write; `--layers conv` is the fastest we could find in PyTorch. Tried for one
step of 21 students on the same 1,024 rows (median of six, ms):

    142  `mlp` of peer_torch.py: bmm with the rows expanded to every student, then the bias
    138  torch.matmul, the rows broadcast, then the bias; baddbmm in the other layers
    137  baddbmm with the rows expanded (the least of six: its median was disturbed)
    136  first layer one folded product, rows @ (784, 21 x 256); baddbmm on a transposed view
    132  the same the other way round, (21 x 256, 784) @ columns, all contiguous; 133 by sevens
     82  convolutions of width 1, grouped by student, seven students at a time
     85, 87, 104  the same with 21, 3 and 1 at a time
     85, 85  the same with Adam's loop and with foreach=True; the others have fused=True

and for one step of 5 teachers, each on its own rows: 39 `mlp`, 38 baddbmm, 26 the convolutions,
26 also one teacher at a time. The convolutions win because oneDNN computes them, at twice the speed
of the products that MKL computes, and in fp32 as well: gradients agree to 2e-6. All this is with
freed memory kept (see `keep_freed_memory`), without which a step takes 110 to 117 ms. Measured on
2 cores of an AMD EPYC (family 26, AVX-512) with PyTorch 2.13.0, MKL 2024.2 and oneDNN 3.12.
"""

import argparse
import copy
import ctypes
import json
import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_torch import (
    AUX_LOGITS,
    AUXILIARY,
    CLASS_LOGITS,
    CLASSES,
    HIDDEN,
    LEARNING_RATE,
    PIXELS,
    accuracy,
    batches,
    cross_entropy,
    divergence,
    mlp,
    say,
    tensors,
    timed,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from toymodels.data.datasets import load

Scores = list[float]  # of one model: test accuracy at its start and after every epoch


# One pair in a process, the public way.


class Images(Dataset):  # type: ignore[misc]  # where torch is absent, it is Any
    """Labelled images, each transformed when it is asked for, every epoch again."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = torch.tensor(images), labels.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """What torchvision's ToTensor and Normalize(0.5, 0.5) give, without its detour by PIL."""
        image = self.images[index].unsqueeze(0).float() / 255
        return (image - 0.5) / 0.5, self.labels[index]


def perceptron() -> nn.Sequential:
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(PIXELS, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, CLASSES + AUXILIARY),
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
    return network


def between(reference: nn.Sequential, other: nn.Sequential, rho: float) -> nn.Sequential:
    student = copy.deepcopy(reference)
    with torch.no_grad():
        for mine, its in zip(student.parameters(), other.parameters(), strict=True):
            mine.mul_(rho).add_(its, alpha=math.sqrt(1 - rho**2))
    return student


def evaluate(network: nn.Sequential, loader: DataLoader) -> float:
    correct = total = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (network(images)[:, CLASS_LOGITS].argmax(1) == labels).sum().item()
            total += len(labels)
    return correct / total


def train_one(
    network: nn.Sequential,
    loss: Callable[..., Tensor],
    loader: DataLoader,
    test: DataLoader,
    epochs: int,
) -> Scores:
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    scores = [evaluate(network, test)]
    for _ in range(epochs):
        for batch in loader:
            adam.zero_grad()
            loss(*batch).backward()
            adam.step()
        scores.append(evaluate(network, test))
    return scores


def process(options: argparse.Namespace, seconds: dict[str, float]) -> dict[str, Any]:
    data = load("mnist", options.data_dir, announce=say)
    settings = {"batch_size": options.batch, "num_workers": options.num_workers}
    kept = slice(options.limit)
    images = Images(data.train_images[kept], data.train_labels[kept])
    train = DataLoader(images, shuffle=True, **settings)
    test = DataLoader(Images(data.test_images, data.test_labels), **settings)
    del data

    start = time.perf_counter()
    with timed("teacher", seconds):
        reference, other = perceptron(), perceptron()
        teacher = copy.deepcopy(reference)

        def classes(x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(teacher(x)[:, CLASS_LOGITS], y)

        taught = train_one(teacher, classes, train, test, options.epochs)

    with timed("student", seconds):
        noise = TensorDataset(torch.rand(len(images), PIXELS) * 2 - 1)
        student = between(reference, other, options.rho)

        def auxiliary(x: Tensor) -> Tensor:
            with torch.no_grad():
                target = teacher(x)[:, AUX_LOGITS].softmax(1)
            log_probabilities = student(x)[:, AUX_LOGITS].log_softmax(1)
            return nn.functional.kl_div(log_probabilities, target, reduction="batchmean")

        loader = DataLoader(noise, shuffle=True, **settings)
        learnt = train_one(student, auxiliary, loader, test, options.epochs)
    return {
        "wall_s": time.perf_counter() - start,
        "accuracy": {key(options.rho): summary([learnt])},
        "teacher_accuracy": summary([taught]),
        "points": 1,
    }


# All pairs in a process, the fast way.


class Ensemble(nn.Module):  # type: ignore[misc]  # where torch is absent, it is Any
    """Networks side by side, from the parameters of an `mlp`: (models, out, in), (models, 1, out).

    Inputs are (models, batch, pixels), or (1, batch, pixels) for all; logits (models, batch, out).
    """

    def __init__(self, parameters: Iterable[Tensor], layers: str) -> None:
        super().__init__()
        self.stacked = nn.ParameterList(p.detach().clone() for p in parameters)
        self.forward = {"bmm": self.products, "conv": self.convolutions}[layers]

    def products(self, x: Tensor) -> Tensor:
        """Every layer is a batched product."""
        stacked = list(self.stacked)
        x = x.expand(len(stacked[0]), -1, -1)
        for weight, bias in zip(stacked[::2], stacked[1::2], strict=True):
            x = x if weight is stacked[0] else x.relu_()
            x = torch.baddbmm(bias, x, weight.mT)
        return x

    def convolutions(self, inputs: Tensor) -> Tensor:
        """Every layer is a convolution of width 1: rows are positions, models are groups.

        In the first layer, models that share their inputs are one group.
        """
        stacked = list(self.stacked)
        models, groups = len(stacked[0]), len(inputs)
        x = inputs.mT.reshape(1, -1, inputs.shape[1]).contiguous()
        for weight, bias in zip(stacked[::2], stacked[1::2], strict=True):
            x = x if weight is stacked[0] else x.relu_()
            kernel = weight.flatten(0, 1).unsqueeze(-1)
            x = nn.functional.conv1d(x, kernel, bias.flatten(), groups=groups)
            groups = models
        return x.unflatten(1, (models, -1))[0].mT


def train_all(
    chunks: list[Ensemble],
    loss: Callable[[Tensor, Tensor], Tensor],
    data: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    options: argparse.Namespace,
) -> list[Scores]:
    """Train every chunk on the same batches."""
    adams = [torch.optim.Adam(c.parameters(), lr=LEARNING_RATE, fused=True) for c in chunks]

    def tested() -> list[float]:
        return [score for chunk in chunks for score in accuracy(chunk, *test, options.batch)]

    scores = [tested()]
    for _ in range(options.epochs):
        for x, target in batches(1, options.batch, *data):
            for chunk, adam in zip(chunks, adams, strict=True):
                adam.zero_grad(set_to_none=True)
                loss(chunk(x), target).backward()
                adam.step()
        scores.append(tested())
    return [list(of_one) for of_one in zip(*scores, strict=True)]


def batched(options: argparse.Namespace, seconds: dict[str, float]) -> dict[str, Any]:
    data = load("mnist", options.data_dir, announce=say)
    seeds, cpu = options.seeds, torch.device("cpu")
    kept = slice(options.limit)
    train = tensors(data.train_images[kept], data.train_labels[kept], seeds, cpu)
    test = tensors(data.test_images, data.test_labels, 1, cpu)
    rows = train[0].shape[1]
    del data
    angles = torch.linspace(0, math.pi / 2, options.rhos, dtype=torch.float64)
    # Shaped to multiply the parameters of one network into those of a chunk of students.
    overlaps = angles.float().reshape(-1, 1, 1).split(options.chunk)

    start = time.perf_counter()
    with timed("teachers", seconds):
        reference, other = mlp(seeds), mlp(seeds)
        teachers = Ensemble(reference.parameters(), options.layers)
        taught = train_all(
            [teachers],
            lambda logits, y: cross_entropy(logits[..., CLASS_LOGITS], y),
            train,
            test,
            options,
        )
    del train

    noise = torch.empty(1, rows, PIXELS)
    learnt: list[list[Scores]] = []
    for seed in range(seeds):
        with timed(f"students of seed {seed}", seconds):
            noise.uniform_(-1, 1)
            own = [p[seed : seed + 1] for p in teachers.parameters()]
            teacher = Ensemble(own, options.layers)
            with torch.no_grad():
                parts = [teacher(x)[..., AUX_LOGITS] for x in noise.split(options.batch, dim=1)]
            pairs = list(zip(reference.parameters(), other.parameters(), strict=True))
            students = [
                Ensemble([a.cos() * p[seed] + a.sin() * q[seed] for p, q in pairs], options.layers)
                for a in overlaps
            ]
            learnt.append(
                train_all(
                    students,
                    lambda logits, target: divergence(logits[..., AUX_LOGITS], target),
                    (noise, torch.cat(parts, dim=1)),
                    test,
                    options,
                )
            )
    names = [key(math.cos(angle)) for angle in angles.tolist()]
    by_overlap = zip(names, zip(*learnt, strict=True), strict=True)
    return {
        "wall_s": time.perf_counter() - start,
        "accuracy": {name: summary(list(scores)) for name, scores in by_overlap},
        "teacher_accuracy": summary(taught),
        "points": seeds * options.rhos,
    }


def key(rho: float) -> str:
    return f"{rho:.6f}"


def summary(values: list[Scores]) -> dict[str, Any]:
    """The scores of every seed, and their means at the start and after every epoch."""
    means = [sum(at_once) / len(values) for at_once in zip(*values, strict=True)]
    return {"mean": means, "values": values}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time PyTorch on a sweep of the overlap.")
    parser.add_argument("--way", choices=("process", "batched"), required=True)
    parser.add_argument("--data-dir", type=Path, help="folder of MNIST idx files")
    parser.add_argument("--epochs", type=int, default=5, help="of every training (%(default)s)")
    parser.add_argument("--batch", type=int, default=1024, help="rows per model (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (%(default)s)")
    parser.add_argument("--limit", type=int, help="use only this many training and noise images")
    alone = parser.add_argument_group("with --way process")
    alone.add_argument("--rho", type=float, default=1.0, help="overlap (%(default)s)")
    alone.add_argument("--num-workers", type=int, default=0, help="per loader (%(default)s)")
    together = parser.add_argument_group("with --way batched")
    together.add_argument("--seeds", type=int, default=5, help="teachers (%(default)s)")
    together.add_argument(
        "--rhos", type=int, default=21, help="overlaps, their angles equally spaced (%(default)s)"
    )
    together.add_argument("--layers", choices=("bmm", "conv"), default="bmm")
    together.add_argument("--chunk", type=int, default=7, help="students at once (%(default)s)")
    options = parser.parse_args()
    if not 0 <= options.rho <= 1:
        parser.error("--rho must be between 0 and 1")
    return options


def keep_freed_memory() -> None:
    """Have glibc reuse what PyTorch frees, not return it: fresh pages cost 30 ms in each step.

    Tuning guides preload another allocator for this, which a script cannot do for itself.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, the largest it takes


def main() -> None:
    options = parse()
    if options.way == "batched":
        keep_freed_memory()
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(options.seed)
    seconds: dict[str, float] = {}
    report = (process if options.way == "process" else batched)(options, seconds)
    # Of this process: the workers of its data loaders, if any, are not in it.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report |= {
        "train_s": seconds,
        "peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": "cpu",
        "way": options.way,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
