"""The built-ins, registered through the same hooks as everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arlattice.hooks.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import click

_PLANS = "arlattice.decoding.plans"


@hookimpl
def arlattice_register_ensembles(register: Register) -> None:
    """The ensembles of `arlattice.ensemble`."""
    register(
        "semi-grand-canonical",
        "arlattice.ensemble:SemiGrandCanonical",
        summary="fixed temperature and chemical potentials",
    )
    register("canonical", "arlattice.ensemble:Canonical", summary="fixed temperature and composition")


@hookimpl
def arlattice_register_models(register: Register) -> None:
    """The families of `arlattice.models`."""
    register(
        "any-order-transformer",
        "arlattice.models.any_order_transformer:AnyOrderTransformer",
        options="arlattice.models.any_order_transformer:AnyOrderTransformerOptions",
        summary="causal transformer that reads the sites in any order, on top of completed-cluster energies",
    )
    register(
        "multiscale",
        "arlattice.models.multiscale:Multiscale",
        options="arlattice.models.multiscale:MultiscaleOptions",
        summary="blocks of sites at once, from the coarsest scale to the finest, by convolutions over cells",
    )
    register(
        "marginal-transformer",
        "arlattice.models.marginal_transformer:MarginalTransformer",
        options="arlattice.models.marginal_transformer:MarginalTransformerOptions",
        summary="the same with a second head: log-probability of any partial configuration in one pass",
    )
    register(
        "fixed-order-mlp",
        "arlattice.models.fixed_order_mlp:FixedOrderMLP",
        options="arlattice.models.fixed_order_mlp:FixedOrderMLPOptions",
        summary="masked perceptron (MADE) that draws the sites as they are numbered",
    )
    register(
        "any-order-mlp",
        "arlattice.models.any_order_mlp:AnyOrderMLP",
        options="arlattice.models.any_order_mlp:AnyOrderMLPOptions",
        summary="perceptron over species and mask that gives all conditionals; one pass a site",
    )
    register(
        "marginal-mlp",
        "arlattice.models.marginal_mlp:MarginalMLP",
        options="arlattice.models.any_order_mlp:MLPOptions",
        summary="the same with a second head: log-probability of any partial configuration in one pass",
    )


@hookimpl
def arlattice_register_plans(register: Register) -> None:
    """The plans of `arlattice.decoding`."""
    register("coarse-to-fine", f"{_PLANS}:coarse_to_fine", summary="site by site, sublattices that are far apart first")
    register("random", f"{_PLANS}:random", summary="site by site, in a random order")
    register("raster", f"{_PLANS}:raster", summary="site by site, as they are numbered")
    register("levels", f"{_PLANS}:levels_at_once", summary="the sites of each level of coarse-to-fine at once")


@hookimpl
def arlattice_register_objectives(register: Register) -> None:
    """The objectives of `arlattice.training`."""
    register("hybrid", "arlattice.training.objectives:hybrid", summary="forward KL on replayed Monte Carlo plus reverse KL on own samples")
    register("forward", "arlattice.training.objectives:forward", summary="forward KL on replayed Monte Carlo: covers every mode")
    register(
        "log-variance",
        "arlattice.training.objectives:log_variance",
        summary="variance of log q - log f on replayed Monte Carlo: less noise than forward near the optimum",
    )
    register("balanced", "arlattice.training.objectives:balanced", summary="forward and log-variance, weighted by their noise")
    register("reverse", "arlattice.training.objectives:reverse", summary="reverse KL on own samples: energies only, may lose modes")
    register("mam", "arlattice.training.marginalization:mam", summary="reverse KL through the marginal head (the paper's MAM)")
    register(
        "self-consistency",
        "arlattice.training.marginalization:self_consistency",
        summary="forward KL, and marginals that agree with it at every prefix",
    )


@hookimpl
def arlattice_register_moves(register: Register) -> None:
    """The moves of `arlattice.montecarlo`."""
    here = "arlattice.montecarlo"
    register("heat-bath", f"{here}.heat_bath:HeatBath", summary="every site once, drawn from its conditional probability")
    register("metropolis", f"{here}.metropolis:Metropolis", summary="random sites are offered another species")
    register("swap", f"{here}.swap:Swap", summary="random pairs of sites exchange their species")
    register("swendsen-wang", f"{here}.swendsen_wang:SwendsenWang", summary="all clusters of like species, ferromagnetic pairs only")
    register("wolff", f"{here}.wolff:Wolff", summary="one cluster of like species, ferromagnetic pairs only")


@hookimpl
def arlattice_register_exporters(register: Register) -> None:
    """The file formats of `arlattice.io`."""
    here = "arlattice.io"
    register("extxyz", f"{here}.extxyz:Extxyz", summary="structures and every fact, read back to the bit")
    register("netcdf", f"{here}.netcdf:NetCDF", summary="arrays and every fact, read back to the bit")
    register("db", f"{here}.ase_db:AseDb", summary="structures and every fact, to be searched with `ase db`, read back to the bit")
    register("cif", f"{here}.structure_folders:Cif", summary="a folder of structures; the facts in index.csv")
    register("poscar", f"{here}.structure_folders:Poscar", summary="a folder of structures; the facts in index.csv")


@hookimpl
def arlattice_register_commands(cli: click.Group) -> None:
    """The commands of `arlattice.cli`."""
    from arlattice.cli import commands

    for command in commands():
        cli.add_command(command)
