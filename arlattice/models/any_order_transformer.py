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

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from arlattice.conditions import Conditions
from arlattice.decoding.draw import Decoder
from arlattice.decoding.gauge import SpinGauge
from arlattice.decoding.steps import n_features
from arlattice.ensemble import Ensemble, SemiGrandCanonical
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.models.base import Model
from arlattice.models.phases import Rotation, SitePhases, rotary_phases, rotate
from arlattice.plan import Plan

__all__ = ["AnyOrderTransformer", "AnyOrderTransformerOptions"]

_LENGTHS = 32
"""Recorded steps read a memory of so many lengths at most: more take longer to record, fewer read more than is there."""

Modulation = Sequence[Tensor]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class AnyOrderTransformerOptions(Options):
    """Size of the network."""

    width: Annotated[int, Field(ge=8, le=4096, description="features of a token; a multiple of 2 x heads")] = 128
    heads: Annotated[int, Field(ge=1, le=64, description="attention heads")] = 4
    layers: Annotated[int, Field(ge=1, le=64, description="transformer blocks")] = 4
    positions: Annotated[
        Literal["supercell", "primitive"],
        Field(description="wavevectors of this supercell, or a fixed set of the primitive lattice, for use on several supercells"),
    ] = "supercell"
    reads: Annotated[
        Literal["state", "probes"],
        Field(description="what it reads of a state: its numbers, or log f of fixed configurations, for use with any Hamiltonian"),
    ] = "state"


class AnyOrderTransformer(Model):
    """See the module's docstring."""

    one_pass: tuple[str, ...] = ("plan_logits", "block_logits")

    def __init__(
        self, hamiltonian: Hamiltonian, options: AnyOrderTransformerOptions, ensemble: type[Ensemble] = SemiGrandCanonical
    ) -> None:
        super().__init__(hamiltonian, options, ensemble)
        lattice, width = hamiltonian.lattice, options.width
        if width % (2 * options.heads):
            raise InputError("width", width, f"must be a multiple of 2 x heads = {2 * options.heads}")
        self.heads, self.q = options.heads, lattice.n_species
        self.species_token = nn.Linear(self.q + 1, width)  # one-hot: deterministic gradients, unlike nn.Embedding
        self.site_token = nn.Sequential(nn.Linear(n_features(self.q, len(lattice.basis)), width), nn.GELU(), nn.Linear(width, width))
        self.state_token = self._state_network(width)
        self.blocks = nn.ModuleList(Block(width, options.heads) for _ in range(options.layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, self.q)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.phases = SitePhases(rotary_phases(lattice, options.heads, width // options.heads // 2, options.positions))
        self.gauge = SpinGauge.of(hamiltonian)
        self._compiled = False

    def _state_network(self, width: int) -> nn.Sequential:
        """From what is read of a state to a token; larger where the Hamiltonian is part of it."""
        numbers = len(self.state_mean)
        if self.probes is None:
            return nn.Sequential(nn.Linear(numbers, width), nn.GELU(), nn.Linear(width, width))
        sizes = [(numbers, 4 * width), (4 * width, 4 * width), (4 * width, width)]
        return nn.Sequential(*(layer for i, size in enumerate(sizes) for layer in ([nn.GELU()] if i else []) + [nn.Linear(*size)]))

    @property
    def any_supercell(self) -> bool:
        return bool(self.options.positions == "primitive")  # type: ignore[attr-defined]

    @property
    def state_layers(self) -> tuple[nn.Linear, ...]:
        """See `StateReader.state_layers`."""
        if self.probes is not None:
            return ()
        return tuple(layer for layer in self.state_token.children() if isinstance(layer, nn.Linear))[:1]

    # -- one pass --------------------------------------------------------------------------------

    def plan_logits(self, occupations: Tensor, plan: Plan, conditions: Conditions, steps: int | None = None) -> Tensor:
        """See `Model.plan_logits`; of an order one pass for all steps."""
        if not plan.one_by_one:
            return Model.plan_logits(self, occupations, plan, conditions, steps)
        z, base = self.hidden(occupations, plan.order, conditions, plan.order.shape[1] if steps is None else steps)
        return base + self.head(z).to(base.dtype)

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """See `Model.block_logits`; one pass, with the known sites read as they are numbered."""
        k = sites.shape[1]
        rows = torch.arange(len(partial), device=partial.device).repeat_interleave(k)
        hidden = partial[rows].scatter(1, sites.reshape(-1, 1), -1)
        known = hidden >= 0
        order = torch.where(known, 0, 2).scatter(1, sites.reshape(-1, 1), 1).argsort(dim=1, stable=True)
        count = known.sum(1)
        one_shape = self._compiled or partial.is_cuda  # to compile or record; else fewer steps
        steps = None if one_shape else int(count.max()) + 1
        logits = AnyOrderTransformer.plan_logits(self, hidden.clamp(min=0), Plan(order), conditions[rows], steps)
        return logits[torch.arange(len(hidden), device=partial.device), count].unflatten(0, sites.shape)

    def hidden(self, occupations: Tensor, order: Tensor, conditions: Conditions, steps: int) -> tuple[Tensor, Tensor]:
        """Last features (B, steps, d) and Boltzmann logits (B, steps, q); step N, behind the last site, has features only."""
        step = self.steps.along(occupations, Plan(order), conditions)
        target = torch.cat([order, order[:, -1:]], 1)[:, :steps]
        source = torch.cat([order[:, :1], order], 1)[:, :steps]
        species = F.pad(occupations.gather(1, order), (1, 0), value=self.q)[:, :steps]
        along = self.steps.features(step)
        features = torch.cat([along, along[:, -1:]], 1)[:, :steps]
        state = self.state_token(self.standardised(conditions))
        z = self.token(species, features, state)
        phases = self.phases.of(target, z.dtype), self.phases.of(source, z.dtype)
        for block in self.blocks:
            z = block(z, block.modulation(state)[:, None].chunk(4, -1), *phases, causal)  # type: ignore[operator]
        return self.norm(z), step.base[:, :steps]

    def token(self, previous: Tensor, features: Tensor, state: Tensor) -> Tensor:
        """Tokens (B, T, d) of steps: the species placed before (B, T), what is known of the next site, the state (B, d)."""
        species = F.one_hot(previous, self.q + 1).to(self.state_mean.dtype)
        token: Tensor = self.species_token(species) + self.site_token(features) + state[:, None]
        return token

    # -- drawing ---------------------------------------------------------------------------------

    def decoder(self, plan: Plan) -> Decoder:
        """See `Model.decoder`; of an order, with cached keys and values."""
        return CachedDecoder(self) if plan.one_by_one else Model.decoder(self, plan)

    def compile_network(self) -> None:
        """Compile the one-pass network and the pieces of a drawing step with torch.compile."""
        self._compiled = True
        self.phases.keep(self.device)
        if self.probes is not None:
            self.probes.on(self.device)
        for name in self.one_pass:
            setattr(self, name, torch.compile(getattr(self, name), dynamic=False))
        for block in self.blocks:
            block.compile_pieces()  # type: ignore[operator]


class Block(nn.Module):
    """Attention and MLP with pre-norm; scale and shift of both norms come from the state."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.modulation = nn.Linear(width, 4 * width)
        for layer in (self.out, self.contract, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, modulation: Modulation, target: Rotation, source: Rotation, attend: Attend) -> Tensor:
        """The tokens (B, T, d) after one block.

        Args:
            z: (B, T, d).
            modulation: scale and shift of the first and of the second norm, (B, 1, d) each.
            target, source: rotations at the sites that are drawn and at those drawn before, (B, H, T, D).
            attend: from queries, keys and values (B, H, T, 2 D) to what every token takes in, (B, H, T, 2 D).
        """
        query, key, value = self.project(z, modulation[0], modulation[1], target, source)
        return self.finish(z, attend(query, key, value), modulation[2], modulation[3], target)

    def project(self, z: Tensor, scale: Tensor, shift: Tensor, target: Rotation, source: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, keys and values, (B, H, T, 2 D)."""
        qkv = self.qkv(self.norm1(z) * (1 + scale) + shift)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return rotate(query, *target), rotate(key, *source), rotate(value, *source)

    def finish(self, z: Tensor, attended: Tensor, scale: Tensor, shift: Tensor, target: Rotation) -> Tensor:
        """What attention gave, rotated back, and the MLP."""
        z = z + self.out(rotate(attended, target[0], -target[1]).transpose(1, 2).flatten(2))
        mlp: Tensor = self.contract(F.gelu(self.expand(self.norm2(z) * (1 + scale) + shift)))
        return z + mlp

    def compile_pieces(self) -> None:
        """Compile what lies before and after attention, for drawing."""
        for name in ("project", "finish"):
            setattr(self, name, torch.compile(getattr(self, name), dynamic=False))


def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every token takes in itself and those before it."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


class CachedDecoder:
    """Draws site by site with the keys and values of earlier sites kept."""

    reads_given = True
    recordable = True
    key = "cached"

    def __init__(self, model: AnyOrderTransformer) -> None:
        self._model = model

    def stage(self, block: int, span: tuple[int, int], sites: int, recorded: bool) -> int:
        """See `Decoder.stage`: a number of places, above all so far; no more of the memory needs to be read."""
        if not recorded:
            return span[1]
        length = -(-sites // (8 * _LENGTHS)) * 8
        return min(sites, -(-span[1] // length) * length)

    def begin(self, order: Tensor, conditions: Conditions) -> dict[str, Tensor]:
        """See `Decoder.begin`."""
        model, (B, N) = self._model, order.shape
        state = model.state_token(model.standardised(conditions))
        shape = (B, model.heads, N, model.options.width // model.heads)  # type: ignore[attr-defined]
        memory = {"sites": order, "state": state}
        for i, block in enumerate(model.blocks):
            memory[f"modulation {i}"] = block.modulation(state)[:, None]  # type: ignore[operator]
            memory[f"keys {i}"], memory[f"values {i}"] = (torch.zeros(shape, dtype=state.dtype, device=order.device) for _ in range(2))
        return memory

    def logits(
        self, memory: dict[str, Tensor], partial: Tensor, place: Tensor, sites: Tensor, conditions: Conditions, stage: int
    ) -> Tensor:
        """See `Decoder.logits`."""
        model = self._model
        step = model.steps.of_block(partial, sites, conditions)
        before = memory["sites"].index_select(1, (place - 1).clamp(min=0))
        species = partial.gather(1, before)
        species = torch.where(species >= 0, species, model.q)  # nothing is placed before the first
        z = model.token(species, model.steps.features(step), memory["state"])
        phases = model.phases.of(sites, z.dtype), model.phases.of(before, z.dtype)
        seen = torch.arange(stage, device=place.device) <= place
        for i, block in enumerate(model.blocks):
            attend = partial_attention(memory[f"keys {i}"], memory[f"values {i}"], place, seen)
            z = block(z, memory[f"modulation {i}"].chunk(4, -1), *phases, attend)
        return step.base + model.head(model.norm(z)).to(step.base.dtype)


def partial_attention(keys: Tensor, values: Tensor, place: Tensor, seen: Tensor) -> Attend:
    """Attention of the token at one place to those kept, after its own key and value are kept too.

    Args:
        keys, values: kept so far, (B, H, N, 2 D), changed in place.
        place: of the token, (1,).
        seen: which of the first places to take in, bool (reach,).
    """

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys.index_copy_(2, place, key.to(keys.dtype))
        values.index_copy_(2, place, value.to(values.dtype))
        reach = len(seen)
        return F.scaled_dot_product_attention(query.to(keys.dtype), keys[:, :, :reach], values[:, :, :reach], attn_mask=seen[None])

    return attend
