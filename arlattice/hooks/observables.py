"""The observables that ship, registered through the same hook as everybody's."""

from __future__ import annotations

from arlattice.hooks.hookspecs import Register, hookimpl

_HERE = "arlattice.thermo.observables"


@hookimpl
def arlattice_register_observables(register: Register) -> None:
    """The observables of `arlattice.thermo.observables`: thermal, of order on FCC and of spins, and correlations."""
    _register_thermal(register)
    _register_order(register)
    _register_correlations(register)


def _register_thermal(register: Register) -> None:
    register("energy", f"{_HERE}.energy:energy", summary="energy of the whole supercell")
    register("energy_per_site", f"{_HERE}.energy:energy_per_site", summary="energy divided by the number of sites")
    register("energy_per_atom", f"{_HERE}.energy:energy_per_atom", summary="energy divided by the number of atoms, without vacancies")
    register("energy_minus_mu_n", f"{_HERE}.energy:energy_minus_mu_n", summary="E - sum mu N, whole supercell")
    register("heat_capacity", f"{_HERE}.energy:heat_capacity", summary="T dS/dT at constant mu, per site, in k_B")
    register("composition", f"{_HERE}.composition:composition", summary="fraction of all sites that each species takes")
    register("susceptibility", f"{_HERE}.composition:susceptibility", summary="dx/dmu of each species")


def _register_order(register: Register) -> None:
    options = f"{_HERE}.fcc_order:FCCOrderOptions"
    register("l1_0", f"{_HERE}.fcc_order:l1_0", options=options, summary="L1_0 order on FCC: total, and of each of the 6 variants")
    register("l1_2", f"{_HERE}.fcc_order:l1_2", options=options, summary="L1_2 order on FCC: total, and of each of the 8 variants")
    register("fcc_phase", f"{_HERE}.fcc_order:fcc_phase", options=options, summary="share of samples nearest to L1_0, A3B, AB3, disorder")
    register("fcc_phase_x", f"{_HERE}.fcc_order:fcc_phase_x", options=options, summary="composition within each of these phases")
    register("magnetisation", f"{_HERE}.magnetisation:magnetisation", summary="m, |m|, m^2, m^4 and Binder's cumulant of two species")


def _register_correlations(register: Register) -> None:
    register(
        "short_range_order",
        f"{_HERE}.short_range_order:short_range_order",
        options=f"{_HERE}.short_range_order:ShortRangeOrderOptions",
        summary="Warren-Cowley parameters by neighbour shell",
    )
    register(
        "correlation",
        f"{_HERE}.correlation:correlation",
        options=f"{_HERE}.correlation:CorrelationOptions",
        summary="spin-spin correlation by neighbour shell, two species",
    )
    register(
        "structure_factor",
        f"{_HERE}.structure_factor:structure_factor",
        options=f"{_HERE}.structure_factor:StructureFactorOptions",
        summary="|sum of b exp(2 pi i k.r)|^2 / sites at given or all commensurate k",
    )
