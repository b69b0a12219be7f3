"""Where a model of blocks loses: at which scale, and in its network or in drawing many sites at once (docs: blocks).

For every scale: the variance of the log-weight among samples that share all coarser scales.

For blocks of the finest scale, given what is known before them: the sites of the block are sampled by Monte Carlo of all sites that are not
known. **Network**: KL divergence from their true probabilities, each by itself, to those of the model. **Block**: their mutual information
by pairs, which a model that draws them at once cannot have. Both in nats; both zero for a model that loses nothing.

python benchmarks/block_errors.py cuau-8x8x8 --temperature 800 --device cpu
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import arlattice as arl
from arlattice.conditions import Conditions
from arlattice.decoding import weigh
from arlattice.io.files import write_text
from arlattice.models.multiscale import Multiscale
from arlattice.montecarlo.heat_bath import site_probabilities, visit
from arlattice.plan import Plan
from arlattice.random_numbers import Stream

RESULTS = Path(__file__).parent / "results" / "block-errors.json"


def main() -> None:
    """Measure a model in one state, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a shipped model of the family multiscale, or the folder of one")
    parser.add_argument("--temperature", type=float, required=True)
    parser.add_argument("--prefixes", type=int, default=16, help="configurations of the coarser scales")
    parser.add_argument("--completions", type=int, default=16, help="samples of each")
    parser.add_argument("--configurations", type=int, default=2, help="to know the blocks of the finest scale from")
    parser.add_argument("--chains", type=int, default=256)
    parser.add_argument("--snapshots", type=int, default=30, help="of every chain, three sweeps apart, after 30 sweeps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    model = arl.load(given.model, device=given.device)
    if not isinstance(model, Multiscale):
        raise SystemExit(f"{given.model} does not draw in blocks")
    state, stream = arl.SemiGrandCanonical(given.temperature), Stream(given.seed, "block errors", given.device)
    scales = _by_scale(model, state, given, stream)
    blocks = [row for k in range(given.configurations) for row in _by_block(model, state, given, stream[f"configuration {k}"], k)]
    words = [f"--{name.replace('_', '-')} {value}" for name, value in vars(given).items() if name != "model"]
    device = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"CPU, {platform.machine()}"
    found = {
        "command": " ".join(["python benchmarks/block_errors.py", given.model, *words]),
        "device": device,
        "torch": torch.__version__,
        "model": given.model,
        "model_fingerprint": model.fingerprint,
        "temperature": given.temperature,
        "configurations": given.configurations,
        "scales": scales,
        "blocks": blocks,
    }
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")


def _by_scale(model: Multiscale, state: arl.Ensemble, given: argparse.Namespace, stream: Stream) -> list[dict[str, Any]]:
    """Of every scale, coarsest first: the variance of the log-weight among samples that share all coarser ones."""
    layout, n = model.layouts["blocks"], given.prefixes * given.completions
    plan, of_scale = layout.plan(given.prefixes, stream["plan"]), layout.scale_of_block
    plan = Plan(plan.order.repeat_interleave(given.completions, 0), plan.sizes)
    first = {scale: plan.spans[of_scale.index(scale)][0] for scale in sorted(set(of_scale))}
    conditions, rows = model.conditions_of(state).expand(n), []
    for scale, known in first.items():
        shared, own = (stream[name].uniform(model.lattice.n_sites, n) for name in ("shared", "own"))
        shared = shared[:, :: given.completions].repeat_interleave(given.completions, 1)
        noise = torch.where(torch.arange(len(own), device=own.device)[:, None] < known, shared, own)
        pieces = torch.arange(n, device=own.device).split(64)
        drawn = [model.draw(noise[:, rows], plan[rows], conditions[rows]) for rows in tqdm(pieces, desc=f"{known} sites known")]
        x, log_q = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        log_w = conditions.log_f(model.device_hamiltonian.energy(x), x).double() - log_q
        variance = log_w.view(given.prefixes, -1).var(1)
        tables = layout.scales.scales[scale] if scale >= 0 else None
        error = float(variance.std()) / given.prefixes**0.5
        rows.append(
            {"cells": 0 if tables is None else len(tables.torus), "known": known, "variance": float(variance.mean()), "error": error}
        )
    return rows


@torch.no_grad()
def _by_block(model: Multiscale, state: arl.Ensemble, given: argparse.Namespace, stream: Stream, number: int) -> list[dict[str, Any]]:
    """Of the first block of every class and site of the finest scale, given the sites known before it in one configuration."""
    layout, noise = model.layouts["blocks"], stream["draw"].uniform(model.lattice.n_sites, 1)
    plan, one = layout.plan(1, stream["plan"]), model.conditions_of(state)
    walk = _Walk(model, one.expand(given.chains), stream["walk"])
    x = walk.sweeps(model.draw(noise, plan, one)[0].expand(given.chains, -1), plan.order[0], 60)[:1]
    seen = weigh.logits(model, x, plan, one).double().softmax(-1)[0]
    finest, rows, met = layout.scales.scales[-1], list[dict[str, Any]](), set[tuple[int, int]]()
    offset = len(layout.scale_of_block) - len(finest.blocks)
    for index, block in enumerate(tqdm(finest.blocks, desc=f"configuration {number}")):
        if (block.label, block.site) in met:
            continue
        met.add((block.label, block.site))
        start, end = plan.spans[offset + index]
        sites, chains = plan.order[0, start:end], walk.sweeps(x.expand(given.chains, -1), plan.order[0, start:], 30)
        true, species = [], []
        for _ in range(given.snapshots):
            chains = walk.sweeps(chains, plan.order[0, start:], 3)
            allowed = walk.hamiltonian.lattice.allowed.to(chains.device)
            true.append(site_probabilities(walk.hamiltonian, chains, walk.conditions, allowed)[:, sites].mean(0))
            species.append(chains[:, sites])
        p, q = torch.stack(true).mean(0), seen[start:end]
        network = float(torch.where(p > 0, p * (p / q).log(), 0.0).sum())
        rows.append(
            {
                "configuration": number,
                "class": len({label for label, _ in met}),
                "site": block.site,
                "sites": end - start,
                "known": start,
                "network": network,
                "block": _information(torch.cat(species), model.q),
            }
        )
    return rows


def _information(species: Tensor, q: int) -> float:
    """Mutual information of all pairs of sites, (samples, sites), less what chance gives to samples that do not depend on one another."""
    n, total = len(species), 0.0
    for i, j in itertools.combinations(range(species.shape[1]), 2):
        p = torch.bincount(species[:, i] * q + species[:, j], minlength=q * q).double().view(q, q) / n
        both = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
        total += float(torch.where(p > 0, p * (p / both).log(), 0.0).sum()) - (q - 1) ** 2 / (2 * n)
    return total


class _Walk:
    """Heat baths of some sites; the others stay."""

    def __init__(self, model: Multiscale, conditions: Conditions, stream: Stream) -> None:
        self.hamiltonian, self.conditions, self._stream = model.device_hamiltonian, conditions, stream
        self._allowed = model.lattice.allowed.to(model.device)

    def sweeps(self, x: Tensor, sites: Tensor, n: int) -> Tensor:
        beta, mu = self.conditions.beta.to(torch.float32), self.conditions.mu.to(torch.float32)
        for _ in range(n):
            noise = self._stream["noise"].uniform(len(sites), len(x))
            for step, place in enumerate(self._stream["scan"].permutation(len(sites))):
                x = visit(self.hamiltonian, x, sites[place : place + 1], beta, mu, self._allowed, noise[step])
        return x


if __name__ == "__main__":
    main()
