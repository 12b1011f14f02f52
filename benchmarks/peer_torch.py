"""A PyTorch peer for the MNIST auxiliary-logit experiment of Cloud et al. 2025 (arXiv 2507.14805).

It restates how their released script works: all models train at once in one process, every layer
a batched matrix product, batches gathered from data held in memory, and the teacher asked again
for its outputs on each batch. One line of JSON says how long it took, how much memory, and how
accurate the reference, the teacher and the four students are.
"""

import argparse
import copy
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # Adam imports it on first use: done here, it is not counted as work
from torch import Tensor, nn

from toymodels.data.datasets import load

PIXELS, HIDDEN, CLASSES, AUXILIARY = 784, 256, 10, 3
CLASS_LOGITS = slice(0, CLASSES)
AUX_LOGITS = slice(CLASSES, CLASSES + AUXILIARY)
ALL_LOGITS = slice(0, CLASSES + AUXILIARY)
LEARNING_RATE = 3e-4


class BatchedLinear(nn.Module):  # type: ignore[misc]  # where torch is absent, it is Any
    """A linear layer for each model: (models, batch, fan_in) -> (models, batch, fan_out)."""

    def __init__(self, models: int, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(models, fan_out, fan_in) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(models, 1, fan_out))

    def forward(self, inputs: Tensor) -> Tensor:
        """Every model multiplies a batch of its own."""
        return torch.bmm(inputs, self.weight.mT) + self.bias


def mlp(models: int) -> nn.Sequential:
    return nn.Sequential(
        BatchedLinear(models, PIXELS, HIDDEN),
        nn.ReLU(inplace=True),
        BatchedLinear(models, HIDDEN, HIDDEN),
        nn.ReLU(inplace=True),
        BatchedLinear(models, HIDDEN, CLASSES + AUXILIARY),
    )


def shifted(network: nn.Sequential) -> nn.Sequential:
    """Every model with the parameters of its neighbour, so that none keeps its own."""
    neighbour = copy.deepcopy(network)
    for parameter in neighbour.parameters():
        parameter.data = parameter.data.roll(1, dims=0)
    return neighbour


def tensors(
    images: np.ndarray, labels: np.ndarray, models: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pixels in [-1, 1] and labels, seen by every model without a copy."""
    x = torch.tensor(images, dtype=torch.float32, device=device).div_(127.5).sub_(1)
    y = torch.tensor(labels, dtype=torch.int64, device=device)
    return x.reshape(1, -1, PIXELS).expand(models, -1, -1), y.expand(models, -1)


def batches(epochs: int, size: int, *data: Tensor) -> Iterator[list[Tensor]]:
    """Each model's rows, every epoch in a new order of its own; an epoch's last batch is short."""
    models, rows = data[0].shape[:2]
    device = data[0].device
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(rows, device=device) for _ in range(models)])
        for chosen in orders.split(size, dim=1):
            yield [
                torch.stack([own.index_select(0, i) for own, i in zip(part, chosen, strict=True)])
                for part in data
            ]


# Both losses sum over models each model's mean over its batch. A mean over models would divide
# every gradient by their number, and how a model trains would depend, through Adam's epsilon, on
# how many train beside it.


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    flat = logits.flatten(0, 1), labels.flatten()
    return nn.functional.cross_entropy(*flat, reduction="sum") / logits.shape[1]


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) between the softmaxes of the logits given."""
    pair = student.log_softmax(-1), teacher.softmax(-1)
    return nn.functional.kl_div(*pair, reduction="sum") / student.shape[1]


def fit(network: nn.Sequential, loss: Callable[..., Tensor], data: Iterator[list[Tensor]]) -> None:
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for batch in data:
        adam.zero_grad(set_to_none=True)
        loss(*batch).backward()
        adam.step()


def teach(teacher: nn.Sequential, data: Iterator[list[Tensor]]) -> None:
    fit(teacher, lambda x, y: cross_entropy(teacher(x)[..., CLASS_LOGITS], y), data)


def distil(
    student: nn.Sequential, teacher: nn.Sequential, logits: slice, data: Iterator[list[Tensor]]
) -> None:
    def loss(x: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher(x)[..., logits]
        return divergence(student(x)[..., logits], target)

    fit(student, loss, data)


def accuracy(network: nn.Sequential, images: Tensor, labels: Tensor, size: int) -> list[float]:
    """The fraction of test images that each model classifies correctly."""
    parts = zip(images.split(size, dim=1), labels.split(size, dim=1), strict=True)
    with torch.no_grad():
        correct = [network(x)[..., CLASS_LOGITS].argmax(-1) == y for x, y in parts]
    fractions: list[float] = torch.cat(correct, dim=1).double().mean(1).tolist()
    return fractions


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    seconds[name] = time.perf_counter() - start
    say(f"{name}: {seconds[name]:.2f} s")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the PyTorch peer and measure its memory.")
    parser.add_argument("--data-dir", type=Path, help="folder of MNIST idx files")
    parser.add_argument("--models", type=int, default=10, help="trained at once (%(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="of every training (%(default)s)")
    parser.add_argument("--batch", type=int, default=1024, help="rows per model (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (%(default)s)")
    parser.add_argument("--limit", type=int, help="use only this many training and noise images")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args()
    if options.models < 2:
        parser.error("--models must be at least 2: a cross-model student starts from a neighbour")
    return options


def main() -> None:
    options = parse()
    models, epochs, size = options.models, options.epochs, options.batch
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if options.device == "auto" else options.device)
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(options.seed)

    mnist = load("mnist", options.data_dir, announce=say)
    kept = slice(options.limit)
    train = tensors(mnist.train_images[kept], mnist.train_labels[kept], models, device)
    test = tensors(mnist.test_images, mnist.test_labels, models, device)
    rows = train[0].shape[1]
    del mnist

    seconds: dict[str, float] = {}
    start = time.perf_counter()
    with timed("teacher", seconds):
        reference = mlp(models).to(device)
        teacher = copy.deepcopy(reference)
        teach(teacher, batches(epochs, size, *train))
    del train

    with timed("noise", seconds):
        noise = torch.empty(models, rows, PIXELS, device=device).uniform_(-1, 1)

    networks, other = {"reference": reference, "teacher": teacher}, shifted(reference)
    for name, origin, logits in (
        ("student_aux", reference, AUX_LOGITS),
        ("student_all", reference, ALL_LOGITS),
        ("cross_aux", other, AUX_LOGITS),
        ("cross_all", other, ALL_LOGITS),
    ):
        with timed(name, seconds):
            networks[name] = copy.deepcopy(origin)
            distil(networks[name], teacher, logits, batches(epochs, size, noise))
    del noise

    with timed("test", seconds):
        scores = {name: accuracy(network, *test, size) for name, network in networks.items()}
    wall = time.perf_counter() - start

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "wall_s": wall,
        "train_s": seconds,
        "peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "accuracy": {k: {"mean": sum(v) / models, "values": v} for k, v in scores.items()},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": device.type,
        "models": models,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
