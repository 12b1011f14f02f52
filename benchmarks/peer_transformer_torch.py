"""PyTorch peer of `toymodels.networks.transformer` on a CPU: the same decoder, trained and sampled from.

Everything is in memory. Weights and rows come from the caller's files, so that both start from one
and the same network: the loss at the start says so. Parameters may have a leading axis of models:
then every product is a batched one (``together``); without it, models follow one another
(``apart``). Adam is fused; sampling has a cache made beforehand and no gradients. One line of JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peer_overlap_torch import keep_freed_memory
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


def norm(x: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=1e-6) * scale.unsqueeze(-2)


def split(x: Tensor, time: int, heads: int) -> Tensor:
    """(..., batch * time, width) as (models * batch, heads, time, width / heads)."""
    return x.reshape(-1, time, heads, x.shape[-1] // heads).transpose(1, 2)


def decode(
    w: Weights, tokens: Tensor, heads: int, at: int = 0, cache: dict[str, Tensor] | None = None
) -> Tensor:
    """Logits (..., batch * time, vocabulary) of tokens (..., batch, time) from a position on."""
    *models, batch, time = tokens.shape
    table, places = w["embedding"], w["positions"][..., at : at + time, :]
    vocabulary, width = table.shape[-2:]
    if models:
        tokens = tokens + vocabulary * torch.arange(models[0]).reshape(-1, 1, 1)
    x = F.embedding(tokens, table.reshape(-1, width)) + places.unsqueeze(-3)
    x = x.reshape(*models, batch * time, width)
    for i in range(1, 1 + sum(name.endswith("qkv/kernel") for name in w)):
        b = f"block{i}/"
        h = norm(x, w[b + "norm1/scale"]) @ w[b + "qkv/kernel"]
        q, k, v = (split(part, time, heads) for part in h.chunk(3, -1))
        if cache is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # one token at a time: it sees all that is there
            for name, part in (("k", k), ("v", v)):
                cache[b + name][:, :, at : at + time] = part
            k, v = (cache[b + name][:, :, : at + time] for name in "kv")
            mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + mixed.transpose(1, 2).reshape(x.shape) @ w[b + "out/kernel"]
        up = F.gelu(norm(x, w[b + "norm2/scale"]) @ w[b + "up/kernel"], approximate="tanh")
        x = x + up @ w[b + "down/kernel"]
    return norm(x, w["norm/scale"]) @ w["unembedding/kernel"]


def loss(w: Weights, rows: Tensor, heads: int) -> Tensor:
    """Sum over models of the mean cross-entropy of every token but the first."""
    logits = decode(w, rows, heads).reshape(*rows.shape, -1)[..., :-1, :]
    models = rows.shape[0] if rows.ndim == 3 else 1
    return models * F.cross_entropy(logits.flatten(0, -2), rows[..., 1:].flatten())


def train(w: Weights, rows: Tensor, options: argparse.Namespace) -> Weights:
    adam = torch.optim.Adam([p.requires_grad_() for p in w.values()], lr=1e-3, fused=True)
    models = w["embedding"].shape[:-2]
    for _ in range(options.steps):
        batch = rows[torch.randint(len(rows), (*models, options.batch))]
        adam.zero_grad(set_to_none=True)
        loss(w, batch, options.heads).backward()
        adam.step()
    return w


@torch.inference_mode()  # type: ignore[untyped-decorator]  # where torch is absent
def sample(w: Weights, options: argparse.Namespace) -> Tensor:
    """Texts (..., samples, length), each from token 0 on."""
    *models, _, width = w["embedding"].shape
    texts = torch.zeros(*models, options.samples, options.length, dtype=torch.long)
    size = (texts[..., 0].numel(), options.heads, options.length, width // options.heads)
    depth = sum(name.endswith("qkv/kernel") for name in w)
    cache = {f"block{i + 1}/{kind}": torch.empty(size) for i in range(depth) for kind in "kv"}
    for at in range(options.length - 1):
        logits = decode(w, texts[..., at : at + 1], options.heads, at, cache)
        drawn = logits.softmax(-1).flatten(0, -2).multinomial(1)
        texts[..., at + 1] = drawn.reshape(texts.shape[:-1])
    return texts


def best(call: Callable[[], Any], repeats: int) -> float:
    """Least seconds of several calls, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True, help="npz of one model's parameters")
    parser.add_argument("--rows", required=True, help="npy of int rows of tokens")
    for name in ("heads", "models", "steps", "batch", "samples", "length", "repeats"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    rows = torch.tensor(np.load(options.rows), dtype=torch.long)
    first = {name: torch.tensor(w) for name, w in np.load(options.weights).items()}

    def one() -> Weights:
        return {name: p.clone() for name, p in first.items()}

    def stacked() -> Weights:
        return {n: p.expand(options.models, *p.shape).clone() for n, p in first.items()}

    def tell(w: Weights) -> float:
        with torch.no_grad():
            return loss(w, rows[:256], options.heads).item()

    many = range(options.models)
    trained = options.steps * options.batch * rows.shape[1]
    written = options.samples * (options.length - 1)
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "train_one": (trained, lambda: train(one(), rows, options)),
        "train_many_apart": (
            trained * len(many),
            lambda: [train(one(), rows, options) for _ in many],
        ),
        "train_many_together": (trained * len(many), lambda: train(stacked(), rows, options)),
        "sample_one": (written, lambda: sample(one(), options)),
        "sample_many_apart": (written * len(many), lambda: [sample(one(), options) for _ in many]),
        "sample_many_together": (written * len(many), lambda: sample(stacked(), options)),
    }
    rates = {name: n / best(call, options.repeats) for name, (n, call) in ways.items()}
    last = one()
    train(last, rows, options)
    report = {"rates": rates, "loss": [tell(first), tell(last)], "torch": torch.__version__}
    print(json.dumps(report | {"threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
