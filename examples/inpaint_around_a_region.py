"""Atoms around a fixed region, twice: order that grows on a slab, and dopants around one that is held in its place.

Every completion comes with its exact conditional log-probability, so averages over the completions carry error bars: the
composition of the free planes beside an ordered slab, and that of the shells around a gold atom in copper. Adapt the
model, the states and what is known.

    python examples/inpaint_around_a_region.py --output inpaint-output
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import arlattice as arl
from arlattice.io.picture import draw_completions
from arlattice.models.base import Model
from arlattice.thermo.observables.shells import neighbour_shells

CU, AU = 0, 1


def main() -> None:
    """Both regions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("inpaint-output"))
    parser.add_argument("-n", type=int, default=500)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = arl.load("cuau-4x4x4")
    for name, samples in (("slab", slab(model, arguments.n)), ("dopants", dopants(model, arguments.n))):
        samples.write(arguments.output / f"{name}.extxyz")
        draw_completions(samples, arguments.output / f"{name}.png")
        print(f"written: {arguments.output / name}.extxyz, {name}.png\n")


def slab(model: Model, n: int) -> arl.SampleSet:
    """A plane of Cu and a plane of Au are given; two free planes at equal chemical potentials, 800 K."""
    spacing = model.lattice.cell.max()  # of (001) planes; the supercell repeats after four of them
    plane = torch.from_numpy(model.lattice.positions[:, 2] / spacing).round().long() % 4
    known = torch.where(plane == 0, CU, torch.where(plane == 1, AU, arl.UNKNOWN))
    samples = complete(model, known, n, arl.SemiGrandCanonical(800, {"Au": 0.0}))
    for k in (2, 3):
        print(f"plane {k}, beside {'Au' if k == 2 else 'Cu'}: x_Au = {gold_on(samples, plane == k)}")
    return samples


def dopants(model: Model, n: int) -> arl.SampleSet:
    """One gold atom is given; copper with about a tenth of gold around it, 700 K: neighbours first, then further shells."""
    known = torch.full((model.lattice.n_sites,), arl.UNKNOWN)
    known[0] = AU
    samples = complete(model, known, n, arl.SemiGrandCanonical(700, {"Au": -0.14}))
    for number, shell in enumerate(neighbour_shells(model.lattice, 3), 1):
        sites = torch.zeros(len(known), dtype=torch.bool)
        sites[shell.neighbour[shell.centre == 0]] = True
        print(f"shell {number}, {shell.distance:.2f} angstrom from the gold atom: x_Au = {gold_on(samples, sites)}")
    print(f"all free sites: x_Au = {gold_on(samples, known < 0)}")
    return samples


def complete(model: Model, known: torch.Tensor, n: int, state: arl.SemiGrandCanonical) -> arl.SampleSet:
    """Completions, and what they say about the free sites as a whole."""
    samples = model.inpaint(known, n, state)
    print(f"{int((known < 0).sum())} free sites of {len(known)}, {len(samples)} completions, ESS {samples.ess:.2f}")
    print(f"free energy of the free sites given the others: {samples.free_energy()} eV")
    return samples


def gold_on(samples: arl.SampleSet, sites: torch.Tensor) -> arl.Estimate:
    """Fraction of gold on some of the sites, with its error."""
    return samples.mean((samples.occupations[:, sites] == AU).double().mean(1))


if __name__ == "__main__":
    main()
