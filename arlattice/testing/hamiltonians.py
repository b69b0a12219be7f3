"""Check a Hamiltonian: shapes, and every fast path against differences of its energies."""

from __future__ import annotations

import torch
from torch import Tensor

from arlattice.errors import InputError
from arlattice.hamiltonians import Hamiltonian
from arlattice.random_numbers import Stream
from arlattice.testing.failure import require, require_close

__all__ = ["check_hamiltonian"]

_SINGLE = 1e-4  # relative, for energies in float32


def check_hamiltonian(hamiltonian: Hamiltonian, *, n: int = 32, seed: int = 0, tolerance: float = 1e-9) -> None:
    """Check that a Hamiltonian keeps the contract of `arlattice.Hamiltonian`.

    Energies have the right shape and type, are finite, come out the same every time, and do not depend on the rest of
    the batch; single-site energies, flip and swap differences are differences of energies; completed-cluster
    energies add up to the energy less a constant in any order, or are all zero; ``to(float32)`` says the same.

    What it sees: nothing is a matter of chance but the configurations, so a right Hamiltonian never fails, and a fault larger than
    ``tolerance`` that shows in a share s of all configurations is missed with probability (1 - s)^n: with n = 32 a share of 0.13 is
    found 99 times in 100, a fifth of that half of the time (`SpotCheck`).

    Args:
        hamiltonian: on any device.
        n: number of random configurations, >= 2. About n x sites x species energies are computed, a few times.
        seed: of the configurations.
        tolerance: relative to the largest energy (1e-4 in float32).

    Raises:
        ConformanceError: the first thing that is wrong.
    """
    if n < 2:
        raise InputError("n", n, "give at least 2 configurations")
    stream = Stream(seed, "check")
    ends = hamiltonian.lattice.allowed.double().cumsum(1)
    x = torch.searchsorted(ends, stream["x"].uniform(len(ends), n) * ends[:, -1:], right=True).T.contiguous().to(hamiltonian.device)
    energy = _check_energy(hamiltonian, x)
    relative = tolerance if hamiltonian.dtype == torch.float64 else max(tolerance, _SINGLE)
    absolute = relative * max(1.0, float(energy.abs().max()))
    _check_batches(hamiltonian, x, energy, absolute)
    _check_flips(hamiltonian, x, energy, absolute)
    _check_swaps(hamiltonian, x, energy, absolute, stream["swap"])
    _check_completed(hamiltonian, x, energy, absolute, stream["order"])
    _check_copies(hamiltonian, x, energy)


def _check_energy(h: Hamiltonian, x: Tensor) -> Tensor:
    before = x.clone()
    energy = h.energy(x)
    require(isinstance(energy, Tensor), f"energy() gives a {type(energy).__name__}, not a torch.Tensor")
    require(energy.shape == (len(x),), f"energy() of {len(x)} configurations has shape {tuple(energy.shape)}, expected ({len(x)},)")
    require(energy.dtype == h.dtype, f"energy() is {energy.dtype}, but dtype says {h.dtype}")
    require(bool(energy.isfinite().all()), "energy() is not finite on an allowed configuration")
    require(torch.equal(x, before), "energy() changes the occupations it was given")
    return energy


def _check_batches(h: Hamiltonian, x: Tensor, energy: Tensor, tolerance: float) -> None:
    require(torch.equal(h.energy(x), energy), "energy() of the same configurations differs from call to call")
    alone = torch.cat([h.energy(row[None]) for row in x])
    require_close(alone, energy, tolerance, "energy() of a configuration depends on the others of its batch")
    require_close(h.energy(x.flip(0)).flip(0), energy, tolerance, "energy() depends on the order of the batch")


def _check_flips(h: Hamiltonian, x: Tensor, energy: Tensor, tolerance: float) -> None:
    n, sites = x.shape
    allowed = h.lattice.allowed.to(x.device)
    site, species = allowed.nonzero().T
    flipped = x[:, None, :].repeat(1, len(site), 1)
    flipped[:, torch.arange(len(site)), site] = species
    expected = h.energy(flipped.flatten(0, 1)).view(n, -1) - energy[:, None]
    flips = h.flip_differences(x)
    require(
        flips.shape == (n, sites, h.lattice.n_species), f"flip_differences() has shape {tuple(flips.shape)}, not (batch, sites, species)"
    )
    require_close(flips[:, site, species], expected, tolerance, "flip_differences() are not differences of energies")
    each = torch.stack([h.site_energies(x, i) for i in range(sites)], 1)
    each = each - each.gather(2, x[:, :, None])
    require_close(each[:, site, species], expected, tolerance, "site_energies() of one site for all are not energies up to a constant")
    rows = torch.arange(n, device=x.device)
    own = h.site_energies(x, rows % sites)
    own, mask = own - own.gather(1, x[rows, rows % sites][:, None]), allowed[rows % sites]
    expected = flips[rows, rows % sites]
    require_close(own[mask], expected[mask], tolerance, "site_energies() of one site per configuration are not energies up to a constant")


def _check_swaps(h: Hamiltonian, x: Tensor, energy: Tensor, tolerance: float, stream: Stream) -> None:
    allowed, rows = h.lattice.allowed.to(x.device), torch.arange(len(x), device=x.device)
    for _ in range(4):
        first, second = stream.integers(x.shape[1], 2, len(x)).to(x.device)
        fits = allowed[first, x[rows, second]] & allowed[second, x[rows, first]]
        second = torch.where(fits, second, first)  # a site may always be exchanged with itself
        swapped = x.clone()
        swapped[rows, first], swapped[rows, second] = x[rows, second], x[rows, first]
        found = h.swap_differences(x, first, second)
        require_close(found, h.energy(swapped) - energy, tolerance, "swap_differences() are not differences of energies")


def _check_completed(h: Hamiltonian, x: Tensor, energy: Tensor, tolerance: float, stream: Stream) -> None:
    orders = [stream.uniform(x.shape[1], len(x)).T.argsort(1).to(x.device) for _ in range(2)]
    tables = [h.completed_energies(x, order) for order in orders]
    for table in tables:
        require(table.shape == (*x.shape, h.lattice.n_species), f"completed_energies() has shape {tuple(table.shape)}")
        require(bool(table.isfinite().all()), "completed_energies() must be finite, also for species that a site may not hold")
    _check_steps(h, x, orders[0], tables[0], tolerance)
    if any(bool((table != 0).any()) for table in tables):
        rest = torch.cat([energy - table.gather(2, x[:, :, None]).sum((1, 2)) for table in tables])
        what = "completed_energies() summed over the sites must be the energy less one constant, in every order"
        require_close(rest, rest[:1].expand_as(rest), tolerance, what)


def _check_steps(h: Hamiltonian, x: Tensor, order: Tensor, table: Tensor, tolerance: float) -> None:
    rows, placed = torch.arange(len(x), device=x.device), torch.full_like(x, -1)
    allowed = h.lattice.allowed.to(x.device)
    for site in order.T:
        found, mask = h.completed_site_energies(placed, site), allowed[site]
        require(bool(found.isfinite().all()), "completed_site_energies() must be finite, also for species that a site may not hold")
        what = "completed_site_energies() while sampling differ from completed_energies() of the whole order"
        require_close(found[mask], table[rows, site][mask], tolerance, what)
        placed[rows, site] = x[rows, site]


def _check_copies(h: Hamiltonian, x: Tensor, energy: Tensor) -> None:
    dtype, single = h.dtype, h.to(dtype=torch.float32)
    require(h.dtype == h.energy(x).dtype == dtype, "to() changes the Hamiltonian it is called on; it must give a new one")
    require(single.dtype in (torch.float32, dtype), f"to(dtype=torch.float32) gives a Hamiltonian of {single.dtype}")
    require(single.energy(x).dtype == single.dtype, f"after to(dtype=torch.float32), energy() is not {single.dtype}, as dtype says")
    scale = max(1.0, float(energy.abs().max()))
    require_close(single.energy(x), energy, _SINGLE * scale, "to(dtype=torch.float32) changes the energies")
    again = h.to("cpu", torch.float64)
    require(again.fingerprint == h.fingerprint, "fingerprint differs between the Hamiltonian and its copy in float64 on the CPU")
