"""Structures and files: ASE, pymatgen, xarray, and whole-or-absent writing."""
