"""The plugin is found once it is installed, and its energies are those of the formula."""

from __future__ import annotations

import torch

import arlattice as arl


def test_it_is_found_by_its_entry_point() -> None:
    assert "j1j2" in [name for plugin in arl.plugins() for name in plugin.hamiltonians]


def test_energies_are_those_of_the_formula() -> None:
    hamiltonian = arl.hamiltonian("j1j2", supercell=(4, 4), J1=1.0, J2=-0.3)
    x = torch.randint(2, (50, 16), generator=torch.Generator().manual_seed(0))
    s = (2 * x.double() - 1).view(-1, 4, 4)
    near = sum((s * s.roll(shift, (1, 2))).sum((1, 2)) for shift in ((1, 0), (0, 1)))
    far = sum((s * s.roll(shift, (1, 2))).sum((1, 2)) for shift in ((1, 1), (1, -1)))
    torch.testing.assert_close(hamiltonian.energy(x), -1.0 * near + 0.3 * far)
