"""The conformance kit: checks that a plugin author runs on a Hamiltonian, a model or a Monte Carlo move of their own.

For example::

    from arlattice.testing import check_hamiltonian, check_model, small_cases

    def test_my_hamiltonian() -> None:
        check_hamiltonian(MyHamiltonian(arl.square(3)))

    @pytest.mark.parametrize("case", small_cases(), ids=str)
    def test_my_model(case: Case) -> None:
        check_model(randomise(MyModel(case.hamiltonian, MyOptions())), [case.state])

Each check returns None or raises `ConformanceError` (an AssertionError) with one message: what is wrong, by how
much. The checks enumerate small lattices; what is random has a fixed seed and says how often it fails for nothing and the smallest
defect that it finds (`arlattice.testing.statistics`).
"""

from __future__ import annotations

from arlattice.testing.cases import Case, random_hamiltonian, randomise, small_cases
from arlattice.testing.failure import ConformanceError
from arlattice.testing.hamiltonians import check_hamiltonian
from arlattice.testing.models import check_model
from arlattice.testing.moves import check_move, transition_matrix
from arlattice.testing.statistics import FrequencyTest, MeanTest, ShareTest, SpotCheck

__all__ = [
    "Case",
    "ConformanceError",
    "FrequencyTest",
    "MeanTest",
    "ShareTest",
    "SpotCheck",
    "check_hamiltonian",
    "check_model",
    "check_move",
    "random_hamiltonian",
    "randomise",
    "small_cases",
    "transition_matrix",
]
