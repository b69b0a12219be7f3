"""Painting: a model of a small supercell draws a larger one, site by site, each in a window around it.

Site i of the large lattice is drawn from the small model's conditional of its centre, given what is known in the
window W_i: the small supercell's sites, each at its nearest place around i,

    q(x | sigma) = prod_t p_small(x_i | known sites of W_i), i = sigma_t,

    logits(s) = logits_small(s) + beta (e_small(s) - e_large(s)).

Every factor is normalised, so q is, in any order, from nothing (out-painting) or around given sites (in-painting), and
weights f/q are exact. Three choices make q good:

- **What is seen.** A known site all of whose interactions are with known sites no longer matters to the rest. Its place
  in the window shows instead the nearest of its periodic images that matters, or nothing. The small model takes the
  window for a torus: so what is unknown in it is as wide as on the large lattice, or as wide as the window allows.
- **Energies.** e(s) is the energy of the clusters that the site completes (`Hamiltonian.completed_site_energies`), on
  the small torus and on the large lattice: the Boltzmann factor is that of the large lattice, and the small model
  gives the free energy of what is unknown.
- **Order.** Raster: what a site needs to know is then near. A coarse-to-fine order begins with sites that are not in
  one window.

Sources: in- and out-painting with sliding windows, X. Du, S. Liu, R. Gomez-Bombarelli, "Scaling autoregressive models
for lattice thermodynamics"; the three choices are ours, measured in docs/painting.md.

Shapes: B batch, N sites of the large lattice, n of the small one, q species.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from arlattice.arguments import of_type
from arlattice.cluster_hamiltonian import ClusterHamiltonian
from arlattice.conditions import Conditions
from arlattice.decoding.draw import BlockDecoder, Decoder
from arlattice.decoding.weigh import logits, next_logits
from arlattice.ensemble import Ensemble
from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.hooks.options import Options
from arlattice.lattice import Lattice
from arlattice.models.any_order_transformer import AnyOrderTransformer
from arlattice.models.base import Model
from arlattice.plan import Plan
from arlattice.same_zero import check_same_zero

__all__ = ["Painted", "PaintedOptions", "paint", "windows"]

_PLACES = 5
"""Periodic images of a window's site that are looked at: the nearest and one in each direction of a square lattice."""


class PaintedOptions(Options):
    """How a window is read."""

    context: Annotated[
        Literal["open", "all"], Field(description="known sites that are read: those that touch an unknown site, or all in the window")
    ] = "open"
    true_energies: Annotated[bool, Field(description="take Boltzmann factors from the large lattice, not from the window's torus")] = True
    window_temperature: Annotated[
        float, Field(gt=0, description="factor on the temperature at which the small model is asked, for windows smaller than interactions")
    ] = 1.0


def paint(
    model: Model,
    hamiltonian: Hamiltonian,
    *,
    context: Literal["open", "all"] = "open",
    true_energies: bool = True,
    window_temperature: float = 1.0,
) -> Painted:
    """A model of a larger supercell that draws window by window with a model of a smaller one.

    Args:
        model: of the small supercell, any order.
        hamiltonian: of the large one: the same primitive cell, species and units.
        context, true_energies, window_temperature: see `PaintedOptions`.

    Returns:
        A `Model` of the large lattice, on the device of ``model``, which it shares.

    Raises:
        InputError: a model that does not draw in any order, another primitive cell, the same expansion with another zero of energy
            (`arlattice.same_zero`), or a supercell into which the window does not fit.
    """
    options = {"context": context, "true_energies": true_energies, "window_temperature": window_temperature}
    return Painted(model, hamiltonian, PaintedOptions.parse(options))


class Painted(Model):
    """See the module's docstring; build with `paint`."""

    orders = ("raster", "coarse-to-fine", "random")
    options: PaintedOptions
    windows: Tensor
    centre: Tensor
    nearest: Tensor
    touching: Tensor

    def __init__(self, small: Model, hamiltonian: Hamiltonian, options: PaintedOptions) -> None:
        _check(small, hamiltonian)
        super().__init__(hamiltonian, options)
        sites, distance = windows(small.lattice, hamiltonian.lattice)
        sublattice = hamiltonian.lattice.sublattice
        self.small, self.name, self.precision = small, f"{small.name}, painted", small.precision
        self.register_buffer("windows", torch.from_numpy(sites), persistent=False)
        self.register_buffer("centre", torch.from_numpy(_origins(small.lattice)[sublattice]), persistent=False)
        self.register_buffer("nearest", torch.from_numpy(distance.argsort(1).argsort(1)[sublattice]), persistent=False)
        self.register_buffer("touching", _touching(hamiltonian), persistent=False)
        self.record = dict(small.record)
        self.to(small.state_mean)

    # -- one step --------------------------------------------------------------------------------

    def block_logits(self, partial: Tensor, sites: Tensor, conditions: Conditions) -> Tensor:
        """See `Model.block_logits`: the small model's logits, with the large lattice's Boltzmann factors; a window a site."""
        return torch.stack([self._site_logits(partial, site, conditions) for site in sites.T], 1)

    def _site_logits(self, partial: Tensor, site: Tensor, conditions: Conditions) -> Tensor:
        """Logits (B, q) of one site of each row."""
        partial = partial.scatter(1, site[:, None], -1)
        window, centre = self.window(partial, site), self.centre[site]
        asked = replace(conditions, beta=conditions.beta / self.options.window_temperature)
        found = self._small_logits(window, centre, self.nearest[site], asked)
        small = self.small.device_hamiltonian.completed_site_energies(window, centre)
        large = self.device_hamiltonian.completed_site_energies(partial, site) if self.options.true_energies else small
        return found + _boltzmann(large, conditions, found.dtype) - _boltzmann(small, asked, found.dtype)

    def window(self, partial: Tensor, site: Tensor) -> Tensor:
        """What the small model sees of (B, N) when a site (B,) is drawn, with that site at its centre: (B, n), -1 unknown."""
        places = self.windows[site]  # (B, n, m)
        if self.options.context == "all":
            return partial.gather(1, places[..., 0])
        species = partial.gather(1, places.flatten(1)).view(places.shape)
        matters = (partial < 0) | self._touches_unknown(partial)
        shown = matters.gather(1, places.flatten(1)).view(places.shape)
        first = shown.to(torch.int8).argmax(-1, keepdim=True)  # 0 where none matters
        return torch.where(shown.any(-1), species.gather(-1, first)[..., 0], -1)

    def _touches_unknown(self, partial: Tensor) -> Tensor:
        return (partial < 0).to(self.touching.dtype) @ self.touching > 0

    def _small_logits(self, window: Tensor, centre: Tensor, nearest: Tensor, conditions: Conditions) -> Tensor:
        """Logits (B, q) of the centre. A transformer reads the known sites from near to far: measured, the best order."""
        if not isinstance(self.small, AnyOrderTransformer):
            return next_logits(self.small, window, centre, conditions)
        n, known = window.shape[1], window >= 0
        order = torch.where(known, nearest, 2 * n).scatter(1, centre[:, None], n).argsort(1)
        count = known.sum(1)
        found = logits(self.small, window.clamp(min=0), Plan(order), conditions, int(count.max()) + 1)
        return found[torch.arange(len(window), device=window.device), count]

    # -- what a model is asked ---------------------------------------------------------------------

    def decoder(self, plan: Plan) -> Decoder:
        """See `Model.decoder`; windows vary in length, so nothing is recorded."""
        return BlockDecoder(self, recordable=False)

    def on(self, hamiltonian: Hamiltonian) -> Self:
        """The same small model, painting another supercell."""
        return type(self)(self.small, hamiltonian, self.options)

    def origin(self) -> dict[str, str | int | float | bool]:
        return super().origin() | {"painting": self.options.model_dump_json()}

    def save(self, folder: str | Path) -> None:
        """Refused: a painted model has no weights of its own."""
        raise InputError("model", self.name, "has no weights of its own; save the small model and paint again")

    def conditions_of(self, state: Ensemble) -> Conditions:
        """See `Model.conditions_of`; a state that fixes something of the whole lattice is refused."""
        if isinstance(state, Ensemble) and not state.constraint(self.lattice).free:
            cure = "a window cannot know the composition of the whole, or what else the state fixes; give a SemiGrandCanonical state"
            raise InputError("state", str(state), cure)
        return super().conditions_of(state)


def windows(small: Lattice, large: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """The sites of a small supercell, placed around every site of a large one.

    Args:
        small, large: supercells of one primitive cell.

    Returns:
        (N, n, m) sites of the large lattice: where every small site lies when its origin on the same sublattice lies on
        the large site, the nearest place first, then its periodic images; and distances to the nearest, (sublattices, n),
        angstrom.

    Raises:
        InputError: a large supercell in which two sites of a window fall on one.
    """
    offsets, distance = _displacements(small)
    offsets = np.stack([[_distinct(large, o, b) for o, b in zip(around, small.sublattice, strict=True)] for around in offsets])
    cells = large.cell_offsets[:, None, None] + offsets[large.sublattice]
    sites = large.site_index(cells, small.sublattice[:, None])
    if any(len(np.unique(window[:, 0])) < small.n_sites for window in sites[: len(offsets)]):
        cure = f"the window {small.supercell.tolist()} does not fit; take a supercell at least as long in every direction"
        raise InputError("hamiltonian", f"supercell {large.supercell.tolist()}", cure)
    return sites, distance


def _displacements(small: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Displacements of every site and its images from each sublattice's origin.

    Returns:
        cells (sublattices, n, images, 3), nearest first, and the length of the nearest (sublattices, n).
    """
    from ase.geometry import minkowski_reduce

    reduced, _ = minkowski_reduce(small.supercell_vectors)
    around = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    periods = np.rint(around @ reduced @ np.linalg.inv(small.cell)).astype(int)
    cells = (small.cell_offsets - small.cell_offsets[_origins(small)][:, None])[:, :, None] + periods
    shift = small.basis[small.sublattice] - small.basis[:, None]
    lengths = np.linalg.norm((cells + shift[:, :, None]) @ small.cell, axis=-1).round(6)  # rounded: of equals the first
    rank = lengths.argsort(-1, kind="stable")
    return np.take_along_axis(cells, rank[..., None], 2), lengths.min(-1)


def _distinct(large: Lattice, offsets: np.ndarray, sublattice: int) -> np.ndarray:
    """The first offsets (k, 3) that lead to different sites, `_PLACES` of them; the first of all stands for those that lack."""
    _, first = np.unique(large.site_index(offsets, sublattice), return_index=True)
    kept = np.sort(first)[:_PLACES]
    return offsets[np.pad(kept, (0, _PLACES - len(kept)))]


def _origins(lattice: Lattice) -> np.ndarray:
    """The site of every sublattice in the first cell."""
    return lattice.site_index(np.zeros((len(lattice.basis), 3), dtype=int), np.arange(len(lattice.basis)))


def _boltzmann(energies: Tensor, conditions: Conditions, dtype: torch.dtype) -> Tensor:
    """-beta (e - mu), (B, q)."""
    return -conditions.beta.to(dtype)[:, None] * (energies.to(dtype) - conditions.mu.to(dtype))


def _touching(hamiltonian: Hamiltonian) -> Tensor:
    """Which sites share a cluster, (N, N) of 0 and 1; all do in a black box."""
    n = hamiltonian.lattice.n_sites
    if not isinstance(hamiltonian, ClusterHamiltonian):
        return torch.ones(n, n)
    touching = torch.zeros(n, n)
    for name, sites in hamiltonian.to_tensors()[0].items():
        if name.endswith(".sites"):
            for a, b in itertools.permutations(range(sites.shape[1]), 2):
                touching[sites[:, a], sites[:, b]] = 1.0
    return touching


def _check(small: Model, hamiltonian: Hamiltonian) -> None:
    of_type("model", small, Model, "give a Model of the small supercell")
    of_type("hamiltonian", hamiltonian, Hamiltonian, "give the Hamiltonian of the large supercell")
    if "random" not in small.orders:
        raise InputError("model", small.name, f"draws in these orders only: {', '.join(small.orders)}; paint with an any-order model")
    ours, theirs = small.lattice.with_supercell(1), hamiltonian.lattice.with_supercell(1)
    if ours.fingerprint != theirs.fingerprint:
        cure = f"must have the primitive cell and species of the model's lattice, {small.lattice!r}"
        raise InputError("hamiltonian", hamiltonian.name, cure)
    if small.hamiltonian.units != hamiltonian.units:
        raise InputError("hamiltonian", hamiltonian.units, f"the units of the model are {small.hamiltonian.units}")
    if "hamiltonians" not in small.record:  # weights of several Hamiltonians know no zero
        check_same_zero(small.hamiltonian, hamiltonian)
