"""Random alloys: their clusters are those of the lattice, their energies have one scale, and every option changes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import arlattice as arl
from arlattice.hamiltonians import fixed_configurations
from arlattice.models.prior import ExpansionPrior

SMALL: dict[str, Any] = {"supercell": (2, 2, 1), "members": 8, "reach": {"2": 2.01, "3": 1.01, "4": 1.01}}
FCC_PAIRS = [6, 3, 12, 6, 12, 4, 24]
BCC_PAIRS = [4, 3, 6, 12, 4, 3, 12, 12]


def clusters_a_site(prior: ExpansionPrior) -> list[tuple[int, float]]:
    """Sites of a cluster, and clusters a site, of every orbit; on a supercell onto which none folds."""
    return [(k, n / prior.sites.n_sites) for term in prior.terms()[1:] for k, n in term.n_clusters.items()]


# -- orbits and energies ---------------------------------------------------------------------------


@pytest.mark.parametrize(("lattice", "pairs"), [("fcc", FCC_PAIRS), ("bcc", BCC_PAIRS)])
def test_orbits_of_pairs_are_the_shells_of_the_lattice(lattice: Any, pairs: list[int]) -> None:
    """Half the coordination numbers, nearest first; couplings are 1 on every cluster."""
    prior = ExpansionPrior(lattice=lattice, supercell=6, reach={"2": 2.66})
    assert clusters_a_site(prior) == [(2, n) for n in pairs]
    up = torch.ones(1, prior.sites.n_sites, dtype=torch.long)
    assert [float(term.energy(up)) for term in prior.terms()] == pytest.approx([-216.0, *(216.0 * n for n in pairs)])


def test_nearest_triplets_and_quadruplets_of_fcc_are_triangles_and_tetrahedra() -> None:
    """8 triangles and 2 tetrahedra a site; a triplet of spins -1, 1, 1 has the energy -1."""
    prior = ExpansionPrior(supercell=4, reach={"3": 1.01, "4": 1.01})
    assert clusters_a_site(prior) == [(3, 8), (4, 2)]
    one_down = torch.ones(1, 64, dtype=torch.long)
    one_down[0, 5] = 0
    assert [float(term.energy(one_down)) for term in prior.terms()] == pytest.approx([-62.0, 512 - 2 * 24, 128 - 2 * 8])


def test_random_configurations_without_field_have_a_deviation_of_1_a_site() -> None:
    """Products of spins of different clusters are not correlated: the variance a site is the sum of J^2 over the clusters of a site."""
    prior = ExpansionPrior(supercell=6, members=6, reach={"2": 2.66, "3": 1.42, "4": 1.01})
    family, count = prior.family(), np.array([n for _, n in clusters_a_site(prior)])
    assert (family.factors[:, 1:] ** 2 @ count) == pytest.approx(np.ones(6))
    without = family.factors.copy()
    without[:, 0] = 0.0
    n = 1000
    alloys = arl.ClusterFamily.sums(family.terms, without, torch.arange(6).repeat_interleave(n))
    energy = alloys.energy(fixed_configurations(prior.sites, n).repeat(6, 1)).view(6, n)
    deviation = energy.std(1) / prior.sites.n_sites**0.5
    assert float((deviation - 1).abs().max()) < 0.1
    assert float((energy.mean(1) / energy.std(1)).abs().max()) < 4 / n**0.5


def test_half_of_the_fields_lie_where_the_pure_crystals_are_equally_stable() -> None:
    """The difference of the energies of the pure crystals is 2 a site for a field of 1 from there; some are far."""
    prior = ExpansionPrior(supercell=4, members=400, reach={"2": 1.01, "3": 1.01})
    family, n = prior.family(), prior.sites.n_sites
    pure = torch.tensor([[0], [1]]).expand(2, n).repeat_interleave(400, 0)
    down, up = family.of(torch.arange(400).repeat(2)).energy(pure).view(2, 400)
    far = ((down - up) / (2 * n)).abs()
    assert 0.45 < float((far < 1.0).double().mean()) < 0.85
    assert 0.25 < float(far.median()) < 1.0 and float(far.max()) > 3.0


# -- alloys ----------------------------------------------------------------------------------------


def test_held_out_alloys_are_others_and_the_same_for_every_number() -> None:
    prior = ExpansionPrior(**SMALL)
    training, few, more = prior.family().factors, prior.held_out(3).factors, prior.held_out(8).factors
    assert np.array_equal(few, more[:3])
    assert min(np.abs(a - b).max() for a in training for b in more) > 1e-2
    assert np.array_equal(training, ExpansionPrior(**SMALL).family().factors)
    assert np.array_equal(training[:3], ExpansionPrior(**SMALL | {"members": 3}).family().factors)


def test_every_option_changes_the_alloys() -> None:
    """Of lattice, supercell, reach, strengths, members and seed each another fingerprint, and what it says."""
    prior = ExpansionPrior(**SMALL)
    others = {
        "lattice": ExpansionPrior(**SMALL | {"lattice": "bcc"}),
        "supercell": ExpansionPrior(**SMALL | {"supercell": (2, 1, 1)}),
        "reach": ExpansionPrior(**SMALL | {"reach": {"2": 1.5}}),
        "strengths": ExpansionPrior(**SMALL | {"strengths": {"2": 1.0, "3": 1e-9, "4": 1e-9}}),
        "members": ExpansionPrior(**SMALL | {"members": 5}),
        "seed": ExpansionPrior(**SMALL | {"seed": 1}),
    }
    families = {name: other.family() for name, other in others.items()}
    assert len({prior.family().fingerprint, *(family.fingerprint for family in families.values())}) == 7
    assert np.allclose(others["lattice"].sites.cell, (np.ones((3, 3)) - 2 * np.eye(3)) / 3**0.5)
    assert others["supercell"].sites.n_sites == 2 and len(others["reach"].terms()) == 1 + 2 and len(families["members"]) == 5
    sizes = np.array([k for k, _ in clusters_a_site(ExpansionPrior(**SMALL | {"supercell": 6}))])
    assert (
        np.abs(families["strengths"].factors[:, 1:][:, sizes > 2]).max() < 1e-6
        and families["strengths"].factors[:, 1:][:, sizes == 2].all()
    )


def test_the_ideal_alloy_has_no_energies_on_the_same_sites() -> None:
    prior = ExpansionPrior(**SMALL)
    ideal = prior.ideal()
    assert ideal.lattice.fingerprint == prior.sites.fingerprint and ideal.species == ("A", "B")
    assert not ideal.energy(fixed_configurations(ideal.lattice, 9)).any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"strengths": {"2": 1.0}}, "strengths"),
        ({"reach": {"5": 1.0}}, "reach"),
        ({"lattice": "hcp"}, "lattice"),
        ({"members": 0}, "members"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], told: str) -> None:
    for make in (lambda: ExpansionPrior(**options), lambda: ExpansionPrior.parse(options)):
        with pytest.raises(arl.InputError, match=f"^{told}") as refused:
            make()
        assert "\n" not in str(refused.value)


def test_a_reach_without_clusters_is_refused() -> None:
    with pytest.raises(arl.InputError, match=r"^reach = "):
        ExpansionPrior(**SMALL | {"reach": {"2": 0.5}}).family()
