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
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.decoding.gauge import SpinGauge
from arlattice.decoding.steps import choose, n_features
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.phases import rotary_phases, rotate

__all__ = ["AnyOrderTransformer", "AnyOrderTransformerOptions"]


class AnyOrderTransformerOptions(Options):
    """Size of the network."""

    width: Annotated[int, Field(ge=8, le=4096, description="features of a token; a multiple of 2 x heads")] = 128
    heads: Annotated[int, Field(ge=1, le=64, description="attention heads")] = 4
    layers: Annotated[int, Field(ge=1, le=64, description="transformer blocks")] = 4
    positions: Annotated[
        Literal["supercell", "primitive"],
        Field(description="wavevectors of this supercell, or a fixed set of the primitive lattice, for use on several supercells"),
    ] = "supercell"


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


class AnyOrderTransformer(Model):
    """See the module's docstring."""

    one_pass: tuple[str, ...] = ("step_log_probs", "next_logits")
    cos: Tensor
    sin: Tensor

    def __init__(self, hamiltonian: Hamiltonian, options: AnyOrderTransformerOptions) -> None:
        super().__init__(hamiltonian, options)
        lattice, width = hamiltonian.lattice, options.width
        if width % (2 * options.heads):
            raise InputError("width", width, f"must be a multiple of 2 x heads = {2 * options.heads}")
        self.heads, self.q = options.heads, lattice.n_species
        self.species_token = nn.Linear(self.q + 1, width)  # one-hot: deterministic gradients, unlike nn.Embedding
        self.site_token = nn.Sequential(nn.Linear(n_features(self.q, len(lattice.basis)), width), nn.GELU(), nn.Linear(width, width))
        self.state_token = nn.Sequential(nn.Linear(2 + 2 * self.q, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, self.q)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        phases = rotary_phases(lattice, options.heads, width // options.heads // 2, options.positions)
        self.register_buffer("cos", phases.cos().float(), persistent=False)
        self.register_buffer("sin", phases.sin().float(), persistent=False)
        self._phases = phases
        self._gauge = SpinGauge.of(hamiltonian)
        self._fused = False

    # -- one pass --------------------------------------------------------------------------------

    @property
    def any_supercell(self) -> bool:
        return bool(self.options.positions == "primitive")  # type: ignore[attr-defined]

    def step_logits(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int | None = None) -> Tensor:
        """See `Model.step_logits`; one pass for all steps."""
        turned, states, flip = self._turned(occupations, order, conditions)
        z, base = self._hidden(turned, order, states, order.shape[1] if steps is None else steps)
        return self._logits(z, base, flip, conditions)

    def _logits(self, z: Tensor, base: Tensor, flip: Tensor, conditions: Conditions) -> Tensor:
        """Logits (B, steps, q) of the configurations as they are, from what the network says of them as it reads them."""
        logits = base + self.head(z).to(base.dtype)
        if self._gauge is None:
            return logits
        logits = torch.where(flip[:, None, None], logits.flip(-1), logits)
        even = (self._gauge.field(conditions) == 0)[:, None] & (torch.arange(logits.shape[1], device=logits.device) == 0)
        return logits.masked_fill(even[..., None], 0.0)

    def next_logits(self, partial: Tensor, site: Tensor, conditions: Conditions) -> Tensor:
        known = partial >= 0
        order = torch.where(known, 0, 2).scatter(1, site[:, None], 1).argsort(dim=1, stable=True)
        count = known.sum(1)
        one_shape = self._fused or partial.is_cuda  # to compile or record; else fewer steps
        steps = None if one_shape else int(count.max()) + 1
        logits = self.step_logits(partial.clamp(min=0), order, conditions, steps)
        return logits[torch.arange(len(partial), device=partial.device), count]

    def _turned(self, occupations: Tensor, order: Tensor, conditions: Conditions) -> tuple[Tensor, Conditions, Tensor]:
        """The configurations and states as the network reads them, and which rows are exchanged (batch,)."""
        if self._gauge is None:
            return occupations, conditions, torch.zeros_like(order[:, 0], dtype=torch.bool)
        flip = self._gauge.flips(conditions, occupations.gather(1, order[:, :1])[:, 0])
        return self._gauge.turn(occupations, flip), self._gauge.turn_conditions(conditions, flip), flip

    def _hidden(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int) -> tuple[Tensor, Tensor]:
        """Last features (B, steps, d) and Boltzmann logits (B, steps, q); step N, behind the last site, has features only."""
        step = self.steps.along(occupations, order, conditions)
        target = torch.cat([order, order[:, -1:]], 1)[:, :steps]
        source = torch.cat([order[:, :1], order], 1)[:, :steps]
        species = F.pad(occupations.gather(1, order), (1, 0), value=self.q)[:, :steps]
        features = torch.cat([step.features, step.features[:, -1:]], 1)[:, :steps]
        state = self._state(conditions)
        z = self.species_token(F.one_hot(species, self.q + 1).to(self.cos.dtype)) + self.site_token(features) + state[:, None]
        phases = self._rotation(target, z.dtype), self._rotation(source, z.dtype)
        for block in self.blocks:
            z = self._block(block, z, state, *phases)
        return self.norm(z), step.base[:, :steps]

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

    # -- drawing ---------------------------------------------------------------------------------

    def _decode(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor) -> tuple[Tensor, Tensor]:
        """With cached keys and values, read through the gauge."""
        if self._gauge is None:
            return self._decode_cached(noise, order, conditions, known)
        site, even = order[:, :1], self._gauge.field(conditions) == 0
        given = known.gather(1, site)[:, 0]
        first = torch.where(given >= 0, given, (noise[0] >= 0.5).long())
        flip = self._gauge.flips(conditions, first)
        known = known.scatter(1, site, torch.where(even, first, given)[:, None])
        turned = self._gauge.turn_conditions(conditions, flip)
        occupations, log_prob = self._decode_cached(noise, order, turned, self._gauge.turn(known, flip))
        return self._gauge.turn(occupations, flip), log_prob - math.log(2) * (even & (given < 0)).double()

    def _decode_cached(self, noise: Tensor, order: Tensor, conditions: Conditions, known: Tensor) -> tuple[Tensor, Tensor]:
        B, N = order.shape
        occupations = torch.full_like(order, -1)
        log_prob = torch.zeros(B, dtype=torch.float64, device=order.device)
        species = torch.full_like(order[:, 0], self.q)
        state = self._state(conditions)
        cache = self._new_cache(B, N, state.dtype)
        modulations = [block.modulation(state).chunk(4, -1) for block in self.blocks]  # type: ignore[operator]
        sites = order.T.contiguous()
        for i in range(N):
            target, source = sites[i], sites[max(i - 1, 0)]
            z, base = self._enter(occupations, species, target, state, conditions)
            phases = self.cos[target], self.sin[target], self.cos[source], self.sin[source]
            for block, modulation, (keys, values) in zip(self.blocks, modulations, cache, strict=True):
                query, keys[:, :, i], values[:, :, i] = self._before(block, z, modulation, phases)
                out = F.scaled_dot_product_attention(query.to(keys.dtype)[:, :, None], keys[:, :, : i + 1], values[:, :, : i + 1])
                z = self._after(block, z, out, modulation, phases)
            species, chosen = self._leave(z, base, noise[i], known, target)
            log_prob = log_prob + chosen
            occupations = torch.where(torch.arange(N, device=order.device) == target[:, None], species[:, None], occupations)
        return occupations, log_prob

    def _enter(self, occupations: Tensor, previous: Tensor, site: Tensor, state: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Token (B, d) of one step, and its Boltzmann logits (B, q)."""
        step = self.steps.after(occupations, site, conditions)
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
        logits = base + self.head(self.norm(z)).to(base.dtype)
        return choose(logits, uniform, known.gather(1, site[:, None])[:, 0])

    def fuse(self) -> None:
        """Compile the one-pass network and the pieces of a drawing step with torch.compile."""
        self._fused = True
        for name in (*self.one_pass, "_enter", "_before", "_after", "_leave"):
            setattr(self, name, torch.compile(getattr(self, name), dynamic=False))

    def _new_cache(self, B: int, N: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        shape = (B, self.heads, N, self.options.width // self.heads)  # type: ignore[attr-defined]
        return [
            (torch.zeros(shape, dtype=dtype, device=self.device), torch.zeros(shape, dtype=dtype, device=self.device)) for _ in self.blocks
        ]

    # -- moving ----------------------------------------------------------------------------------

    def moved(self) -> None:
        """Keep the phases at full precision when the model goes to float64."""
        self.cos, self.sin = (f(self._phases).to(self.cos) for f in (torch.cos, torch.sin))
