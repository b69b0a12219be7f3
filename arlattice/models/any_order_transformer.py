"""The any-order causal transformer: one forward pass gives every conditional of a drawing order.

Step t draws the species of site order[t]. Its token carries the species just placed, what the known sites
say about the next one (completed-cluster energies), and the state; attention is causal; rotary phases tell
it where every source lies relative to the target (`phases`). Logits start at the Boltzmann weights

    logit_t(s) = -beta (e_t(s) - mu_s) + network_t(s)

with e_t(s) the energy of the clusters that site order[t] completes as species s, so the network learns only
the free energy of what is still unknown. Any order, any given subset: sampling, single-pass log-probability
and in-painting are one model.

Sources: any-order autoregression, Uria et al. 2014 and Shih et al. 2022; shuffled causal transformers, Pannatier
et al. 2024 (sigma-GPT); adaptive layer norm on the state, Peebles & Xie 2023. The rest is docs/design.md.

Shapes: B batch, N sites, q species, H heads, D rotary pairs a head, d width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.cuda_graph import Graphs
from arlattice.errors import InputError
from arlattice.hamiltonian import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.composition import CompositionMask
from arlattice.models.conditions import Conditions
from arlattice.models.gauge import SpinGauge
from arlattice.models.phases import rotary_phases, rotate

__all__ = ["AnyOrderTransformer", "AnyOrderTransformerOptions"]


class AnyOrderTransformerOptions(Options):
    """Size of the network."""

    width: Annotated[int, Field(ge=8, le=4096, description="features of a token; a multiple of 2 x heads")] = 128
    heads: Annotated[int, Field(ge=1, le=64, description="attention heads")] = 4
    layers: Annotated[int, Field(ge=1, le=64, description="transformer blocks")] = 4


class Block(nn.Module):
    """Attention and MLP with pre-norm; scale and shift of both norms come from the state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.modulation = nn.Linear(width, 4 * width)
        for layer in (self.out, self.contract, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def mlp(self, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """z + MLP(norm(z))."""
        return z + self.contract(F.gelu(self.expand(self.norm2(z) * (1 + scale) + shift)))


@dataclass
class Step:
    """What is known when a site is drawn, before the network. Leading axes (B,) or (B, N)."""

    base: Tensor  # (..., q) -beta (e - mu), -inf where not allowed
    features: Tensor  # (..., f)


class AnyOrderTransformer(Model):
    """See the module's docstring."""

    cos: Tensor
    sin: Tensor

    def __init__(self, hamiltonian: Hamiltonian, options: AnyOrderTransformerOptions) -> None:
        super().__init__(hamiltonian, options)
        lattice, width = hamiltonian.lattice, options.width
        if width % (2 * options.heads):
            raise InputError("width", width, f"must be a multiple of 2 x heads = {2 * options.heads}")
        self.heads, self.q, self.n_basis = options.heads, lattice.n_species, len(lattice.basis)
        self.species_token = nn.Linear(self.q + 1, width)  # one-hot: deterministic gradients, unlike nn.Embedding
        self.site_token = nn.Sequential(nn.Linear(3 * self.q + 1 + self.n_basis, width), nn.GELU(), nn.Linear(width, width))
        self.state_token = nn.Sequential(nn.Linear(2 + 2 * self.q, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, self.q)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        phases = rotary_phases(lattice, options.heads, width // options.heads // 2)
        self.register_buffer("cos", phases.cos().float(), persistent=False)
        self.register_buffer("sin", phases.sin().float(), persistent=False)
        self._phases = phases
        self._composition = CompositionMask(lattice)
        self._gauge = SpinGauge.of(hamiltonian)
        self._graphs = Graphs()

    # -- one pass --------------------------------------------------------------------------------

    def step_log_probs(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Tensor:
        """log p of the species at every step of the order, in one pass. All (B, N) -> (B, N)."""
        log_p = self.step_logits(occupations, order, conditions).log_softmax(-1)
        taken = F.one_hot(occupations.gather(1, order), self.q).bool()  # where and sum: gather's gradient varies in its last bits
        return torch.where(taken, log_p, 0.0).sum(-1)

    def step_logits(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int | None = None) -> Tensor:
        """Logits of every species at the first ``steps`` steps (default all), in one pass: (B, steps, q).

        Logits of a step depend only on the occupations of the sites before it in the order.
        """
        if self._gauge is None:
            return self._logits(occupations, order, conditions, steps)
        flip = self._gauge.flips(conditions, occupations.gather(1, order[:, :1])[:, 0])
        turned = self._gauge.turn_conditions(conditions, flip)
        logits = self._logits(self._gauge.turn(occupations, flip), order, turned, steps)
        logits = torch.where(flip[:, None, None], logits.flip(-1), logits)
        even = (self._gauge.field(conditions) == 0)[:, None] & (torch.arange(logits.shape[1], device=logits.device) == 0)
        return logits.masked_fill(even[..., None], 0.0)

    def _logits(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int | None) -> Tensor:
        step = self._all_steps(occupations, order, conditions)
        order, base, features = order[:, :steps], step.base[:, :steps], step.features[:, :steps]
        previous = F.pad(occupations.gather(1, order)[:, :-1], (1, 0), value=self.q)
        source = torch.cat([order[:, :1], order[:, :-1]], 1)
        state = self._state(conditions)
        z = self.species_token(F.one_hot(previous, self.q + 1).to(self.cos.dtype)) + self.site_token(features) + state[:, None]
        phases = self._rotation(order, z.dtype), self._rotation(source, z.dtype)
        for block in self.blocks:
            z = self._block(block, z, state, *phases)
        return base + self.head(self.norm(z)).to(base.dtype)

    def _block(self, block: nn.Module, z: Tensor, state: Tensor, target: tuple[Tensor, Tensor], source: tuple[Tensor, Tensor]) -> Tensor:
        B, N, d = z.shape
        scale1, shift1, scale2, shift2 = block.modulation(state)[:, None].chunk(4, -1)  # type: ignore[operator]
        qkv = block.qkv(block.norm1(z) * (1 + scale1) + shift1)  # type: ignore[operator]
        query, key, value = qkv.view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, N, 2D)
        out = F.scaled_dot_product_attention(rotate(query, *target), rotate(key, *source), rotate(value, *source), is_causal=True)
        out = rotate(out, target[0], -target[1]).transpose(1, 2).reshape(B, N, d)
        return block.mlp(z + block.out(out), scale2, shift2)  # type: ignore[operator]

    def _rotation(self, sites: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin of the phases of (B, N) sites, (B, H, N, D)."""
        return tuple(table[sites].transpose(1, 2).to(dtype) for table in (self.cos, self.sin))  # type: ignore[return-value]

    def _state(self, conditions: Conditions) -> Tensor:
        return self.state_token(self.standardised(conditions))

    def _all_steps(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> Step:
        energies = self.tables.completed_energies(occupations, order)
        energies = energies.gather(1, order[..., None].expand(-1, -1, self.q))
        remaining = captives = None
        if conditions.counts is not None:
            placed = F.one_hot(occupations.gather(1, order), self.q)
            remaining = conditions.counts[:, None] - placed.cumsum(1) + placed
            captives = self._composition.captives_after(order)
        index = torch.arange(order.shape[1], device=order.device).expand_as(order)
        return self._step(energies, order, index, conditions, remaining, captives)

    def _step(
        self, energies: Tensor, site: Tensor, index: Tensor, conditions: Conditions, remaining: Tensor | None, captives: Tensor | None
    ) -> Step:
        """Boltzmann logits and features of steps ``index`` that draw ``site``; same leading axes everywhere."""
        dtype = self.cos.dtype
        shape = (-1,) + (1,) * (site.ndim - 1)
        beta, mu = conditions.beta.to(dtype).view(*shape, 1), conditions.mu.to(dtype).view(*shape, self.q)
        base = -beta * (energies.to(dtype) - mu)
        allowed = self.allowed[site]
        left = torch.zeros_like(base)
        if remaining is not None and captives is not None:
            allowed = allowed & self._composition.feasible(remaining, captives)
            left = (remaining.clamp(min=1).to(dtype) / (self.lattice.n_sites - index)[..., None]).log()
            base = base + left
        share = base.masked_fill(~allowed, -torch.inf).softmax(-1)
        centred = (base - (base * allowed).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True)) * allowed
        progress = (index.to(dtype) / self.lattice.n_sites)[..., None]
        sublattice = F.one_hot(self.sublattice[site], self.n_basis).to(dtype)
        features = torch.cat([centred / 4, share, left, progress, sublattice], -1)
        return Step(base.masked_fill(~allowed, -torch.inf), features)

    # -- drawing ---------------------------------------------------------------------------------

    def draw(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Occupations (B, N) and the log-probability (B,) of what was drawn, with cached keys and values.

        On a CUDA device all N steps are one CUDA graph, recorded once for a batch size.
        """
        inputs = {"noise": noise, "order": order, "beta": conditions.beta, "mu": conditions.mu}
        if conditions.counts is not None:
            inputs["counts"] = conditions.counts
        if known is not None:
            inputs["known"] = known.expand_as(order)
        return self._graphs(self._draw, inputs)

    def _draw(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        noise, order, known = inputs["noise"], inputs["order"], inputs.get("known")
        conditions = Conditions(inputs["beta"], inputs["mu"], inputs.get("counts"))
        with self.autocast():
            return self._decode_gauged(noise, order, conditions, torch.full_like(order, -1) if known is None else known)

    def _decode_gauged(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor) -> tuple[Tensor, Tensor]:
        if self._gauge is None:
            return self._decode(noise, order, conditions, known)
        site, even = order[:, :1], self._gauge.field(conditions) == 0
        given = known.gather(1, site)[:, 0]
        first = torch.where(given >= 0, given, (noise[0] >= 0.5).long())
        flip = self._gauge.flips(conditions, first)
        known = known.scatter(1, site, torch.where(even, first, given)[:, None])
        turned = self._gauge.turn_conditions(conditions, flip)
        occupations, log_prob = self._decode(noise, order, turned, self._gauge.turn(known, flip))
        return self._gauge.turn(occupations, flip), log_prob - math.log(2) * (even & (given < 0)).double()

    def _decode(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor) -> tuple[Tensor, Tensor]:
        B, N = order.shape
        occupations = torch.full_like(order, -1)
        log_prob = torch.zeros(B, dtype=torch.float64, device=order.device)
        species = torch.full_like(order[:, 0], self.q)
        state = self._state(conditions)
        cache = self._new_cache(B, N, state.dtype)
        modulations = [block.modulation(state).chunk(4, -1) for block in self.blocks]  # type: ignore[operator]
        remaining = conditions.counts
        captives = None if remaining is None else self._composition.captives_after(order)
        sites = order.T.contiguous()
        steps = torch.arange(N, device=order.device)[:, None].expand(N, B).contiguous()
        for i in range(N):
            target, source = sites[i], sites[max(i - 1, 0)]
            left = None if captives is None else captives[:, i]
            z, base = self._enter(occupations, species, target, steps[i], state, conditions, remaining, left)
            phases = self.cos[target], self.sin[target], self.cos[source], self.sin[source]
            for block, modulation, (keys, values) in zip(self.blocks, modulations, cache, strict=True):
                query, keys[:, :, i], values[:, :, i] = self._before(block, z, modulation, phases)
                out = F.scaled_dot_product_attention(query.to(keys.dtype)[:, :, None], keys[:, :, : i + 1], values[:, :, : i + 1])
                z = self._after(block, z, out, modulation, phases)
            species, chosen = self._leave(z, base, noise[i], known, target)
            log_prob = log_prob + chosen
            occupations = torch.where(torch.arange(N, device=order.device) == target[:, None], species[:, None], occupations)
            if remaining is not None:
                remaining = remaining - F.one_hot(species, self.q)
        return occupations, log_prob

    def _enter(
        self,
        occupations: Tensor,
        previous: Tensor,
        site: Tensor,
        index: Tensor,
        state: Tensor,
        conditions: Conditions,
        remaining: Tensor | None,
        captives: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Token (B, d) of one step, and its Boltzmann logits (B, q)."""
        energies = self.tables.completed_site_energies(occupations, site)
        step = self._step(energies, site, index, conditions, remaining, captives)
        z = self.species_token(F.one_hot(previous, self.q + 1).to(self.cos.dtype)) + self.site_token(step.features) + state
        return z, step.base

    def _before(self, block: nn.Module, z: Tensor, modulation: tuple[Tensor, ...], phases: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Rotated query, key and value (B, H, 2D) of one token."""
        cos_t, sin_t, cos_s, sin_s = phases
        qkv = block.qkv(block.norm1(z) * (1 + modulation[0]) + modulation[1])  # type: ignore[operator]
        query, key, value = qkv.view(len(z), 3, self.heads, -1).unbind(1)
        return rotate(query, cos_t, sin_t), rotate(key, cos_s, sin_s), rotate(value, cos_s, sin_s)

    def _after(self, block: nn.Module, z: Tensor, out: Tensor, modulation: tuple[Tensor, ...], phases: tuple[Tensor, ...]) -> Tensor:
        """The token (B, d) after attention gave ``out`` (B, H, 1, 2D)."""
        out = rotate(out[:, :, 0], phases[0], -phases[1]).reshape(z.shape)
        return block.mlp(z + block.out(out), modulation[2], modulation[3])  # type: ignore[operator]

    def _leave(self, z: Tensor, base: Tensor, uniform: Tensor, known: Tensor, site: Tensor) -> tuple[Tensor, Tensor]:
        """Species of one step (B,) and its log-probability, 0 where it was given."""
        logits = (base + self.head(self.norm(z)).to(base.dtype)).double()
        given = known.gather(1, site[:, None])[:, 0]
        species = torch.where(given >= 0, given, _inverse_cdf(logits.softmax(-1), uniform))
        chosen = logits.log_softmax(-1).gather(1, species[:, None])[:, 0]
        return species, torch.where(given >= 0, 0.0, chosen)

    def fuse(self) -> None:
        """Compile the one-pass network and the pieces of a drawing step with torch.compile."""
        for name in ("step_log_probs", "_enter", "_before", "_after", "_leave"):
            setattr(self, name, torch.compile(getattr(self, name), dynamic=False))

    def _new_cache(self, B: int, N: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        shape = (B, self.heads, N, self.options.width // self.heads)  # type: ignore[attr-defined]
        return [
            (torch.zeros(shape, dtype=dtype, device=self.device), torch.zeros(shape, dtype=dtype, device=self.device)) for _ in self.blocks
        ]

    # -- moving ----------------------------------------------------------------------------------

    def moved(self) -> None:
        """Keep the phases at full precision when the model goes to float64; drop recorded graphs."""
        self.cos, self.sin = (f(self._phases).to(self.cos) for f in (torch.cos, torch.sin))
        self._composition.to(self.device)
        self._graphs.clear()


def _inverse_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Species with cumulative probability above ``uniform`` in [0, 1). (B, q), (B,) -> (B,)."""
    total = probabilities.cumsum(-1)
    return (total[:, :-1] <= uniform[:, None] * total[:, -1:]).sum(-1)
