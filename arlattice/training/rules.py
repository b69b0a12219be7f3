"""The rules by which a run is set up where its user leaves it open: one list, read from the top.

Of the rules of an entry the first that holds decides. A rule sees the lattice, the device and what stands before it (`Situation`): what
the user gave, and what earlier rules chose. Entries that no rule is about keep their defaults.

The numbers for one CPU core come from trials on Ag-Pd, CuAu and Ising supercells of 16 to 64 sites (docs: training). Those for a GPU are
those of the shipped models (configs/): what they reach was measured (docs: training); no other choices were compared with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

__all__ = ["RULES", "Rule", "Situation"]


@dataclass(frozen=True)
class Situation:
    """What a rule sees.

    Attributes:
        sites: of the largest supercell.
        gpu: whether the run is on a GPU.
        black_box: whether energies are those of a function or a calculator, without clusters.
        supercells: number of different supercells that share the weights.
        cells: of the replica grid along every axis, for points along the temperature and every chemical-potential axis.
        members: alloys of a family that the weights are to serve; 0: no family.
        started: whether the run starts from a trained model.
        entries: what the user gave and earlier rules chose, by ``"model.NAME"`` and ``"training.NAME"``.
    """

    sites: int
    gpu: bool
    black_box: bool
    supercells: int
    cells: Callable[[tuple[int, int]], tuple[int, ...]]
    members: int = 0
    started: bool = False
    entries: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The name of the model's family."""
        return str(self.entries["model.name"])

    @property
    def grouped(self) -> bool:
        """Whether the objective compares configurations of one state."""
        return self.entries["training.objective"] in ("balanced", "log-variance")

    @property
    def axes(self) -> int:
        """Axes of chemical potentials, or one of compositions."""
        return len(self.cells((1, 1))) - 1

    def in_groups(self, number: float) -> int:
        """At least so many, a whole number of groups."""
        group = int(self.entries["training.replay_group"])
        return max(1, ceil(number / group)) * group

    def copies(self, chains: int) -> int:
        """Chains a cell for so many in all."""
        points = self.entries["training.replica_temperatures"], self.entries["training.replica_potentials"]
        cells = 1
        for length in self.cells(points):
            cells *= length
        return self.in_groups(chains / cells)


@dataclass(frozen=True)
class Rule:
    """One entry of a run, and when and why.

    Attributes:
        entry: ``"model.NAME"`` or ``"training.NAME"``.
        value: of the entry, or how it follows from the situation.
        reason: in plain words.
        when: whether the rule holds.
    """

    entry: str
    value: Any
    reason: str
    when: Callable[[Situation], bool] = lambda _: True

    def chosen(self, situation: Situation) -> Any:
        """The value in a situation."""
        return self.value(situation) if callable(self.value) else self.value


def _gpu(s: Situation) -> bool:
    return s.gpu


def _is(family: str) -> Callable[[Situation], bool]:
    return lambda s: s.family == family


def _open_end(s: Situation) -> bool:
    """Whether the user left the number of steps open; of rules above the one that chooses it."""
    return "training.steps" not in s.entries


def _divisible(s: Situation, usual: int = 8) -> bool:
    """Whether the numbers that the user gave are whole groups, of the usual size unless he gave one."""
    group = s.entries.get("training.replay_group", usual)
    return all(s.entries.get(f"training.{name}", group) % group == 0 for name in ("batch_size", "replica_copies"))


_TRANSFORMER, _PERCEPTRON, _BLOCKS = "any-order-transformer", "any-order-mlp", "multiscale"
_SEVERAL = "several supercells share the weights"
_FEW_SITES = 100

RULES: tuple[Rule, ...] = (
    # -- the family: a new one is one line here, above those that it is better than
    Rule("model.name", _TRANSFORMER, "the family that reads any alloy", lambda s: s.members > 0),
    Rule(
        "model.name",
        _BLOCKS,
        f"above {_FEW_SITES} sites blocks of sites are drawn at once: the passes of a network grow with the logarithm of the sites",
        lambda s: s.sites > _FEW_SITES and not s.black_box,
    ),
    Rule("model.name", _TRANSFORMER, f"{_SEVERAL}, and this family's mean the same on each", lambda s: s.supercells > 1),
    Rule("model.name", _TRANSFORMER, "on a GPU one pass gives all conditionals of a drawing order", _gpu),
    Rule(
        "model.name",
        _PERCEPTRON,
        f"up to {_FEW_SITES} sites on a CPU, seeing the lattice from the site that is drawn learns most in a second",
        lambda s: s.sites <= _FEW_SITES,
    ),
    Rule("model.name", _TRANSFORMER, f"above {_FEW_SITES} sites a pass of the network for every site costs too much"),
    # -- its size
    Rule("model.reads", "probes", "the alloy is part of what is read", lambda s: s.members > 0 and s.family == _TRANSFORMER),
    Rule("model.positions", "primitive", _SEVERAL, lambda s: s.family == _TRANSFORMER and s.supercells > 1),
    Rule("model.width", 128, "as in the shipped models", lambda s: s.family == _TRANSFORMER and s.gpu),
    Rule("model.width", 32, "a CPU does more small steps than large ones in a minute", _is(_TRANSFORMER)),
    Rule("model.width", 96, "a CPU does more small steps than large ones in a minute", lambda s: s.family == _PERCEPTRON and not s.gpu),
    Rule("model.width", 512, "a GPU does a wide layer in the time of a narrow one", _is(_PERCEPTRON)),
    Rule("model.heads", 4, "as in the shipped models", lambda s: s.family == _TRANSFORMER and s.gpu),
    Rule("model.heads", 2, "16 features a head", _is(_TRANSFORMER)),
    Rule(
        "model.layers", 6, "as in the shipped models of 64 sites and more", lambda s: s.family == _TRANSFORMER and s.gpu and s.sites >= 64
    ),
    Rule("model.layers", 4, "as in the shipped models below 64 sites", lambda s: s.family == _TRANSFORMER and s.gpu),
    Rule("model.layers", 2, "deeper networks were not better in the same time", lambda s: s.family in (_TRANSFORMER, _PERCEPTRON)),
    Rule("model.width", 64, "as in the shipped models of 256 to 4096 sites", lambda s: s.family == _BLOCKS and s.gpu),
    Rule("model.width", 32, "a CPU does more small steps than large ones in a minute", _is(_BLOCKS)),
    Rule("model.layers", 3, "as in the shipped models of 256 to 4096 sites", lambda s: s.family == _BLOCKS and s.gpu),
    Rule("model.layers", 2, "a CPU does more small steps than large ones in a minute", _is(_BLOCKS)),
    Rule("model.centred", True, "the same weights then serve every site", _is(_PERCEPTRON)),
    # -- what is minimised
    Rule("training.objective", "self-consistency", "trains the marginal head too", lambda s: s.family.startswith("marginal-")),
    Rule("training.objective", "balanced", "forward KL far from the target, log-variance near it: the least noise", _divisible),
    Rule("training.objective", "forward", "covers every phase; the numbers given are no whole groups for 'balanced'"),
    Rule("training.soft_targets", True, "heat-bath probabilities instead of single species take noise from the forward KL"),
    Rule("training.replay_group", 32, "as in the shipped models of 256 to 4096 sites", lambda s: s.family == _BLOCKS and _divisible(s, 32)),
    Rule("training.replay_group", 8, "configurations of one state that are compared with one another"),
    Rule("training.priority", 0.5, "states near a transition get more steps", lambda s: s.grouped),
    Rule(
        "training.coarse_share",
        0.75,
        "most orders coarse to fine, as drawing takes them; the rest random, for in-painting",
        lambda s: s.family != _BLOCKS,
    ),
    Rule("training.given_share", 0.1, "some configurations with random sites given, for in-painting", _is(_BLOCKS)),
    Rule("training.block_share", 0.25, "a part of the blocks of each configuration, of more configurations", _is(_BLOCKS)),
    # -- how much of it
    Rule(
        "training.batch_size",
        lambda s: s.in_groups(512 if s.sites <= 1024 else 256),
        "as in the shipped models",
        lambda s: s.gpu and s.family == _BLOCKS,
    ),
    Rule("training.batch_size", lambda s: s.in_groups(4096 if s.sites <= 64 else 1024), "as in the shipped models", _gpu),
    Rule("training.batch_size", lambda s: s.in_groups(64), "a core should do a step in a tenth of a second", lambda s: s.sites > 40),
    Rule("training.batch_size", lambda s: s.in_groups(128), "a core should do a step in a tenth of a second"),
    Rule("training.learning_rate", 5e-4, "trained weights take small steps", lambda s: s.started and s.family == _TRANSFORMER),
    Rule("training.learning_rate", 2e-3, "as in the shipped models", _is(_BLOCKS)),
    Rule("training.learning_rate", 1e-3, "as in the shipped models", _gpu),
    Rule("training.learning_rate", 3e-3, "a small network takes a high one"),
    Rule("training.until_steady", True, "the run stops when cycles no longer raise the mean or the worst ESS", _open_end),
    Rule("training.cycles", 10, "the rate falls to its floor ten times, and the run may stop each time", _open_end),
    Rule("training.steps", 3000, "at most; trained weights need few", lambda s: s.started),
    Rule("training.steps", 30000, "at most; most runs stop before"),
    Rule("training.warmup_steps", 200, "as in the shipped models", _gpu),
    Rule("training.ema_decay", 0.999, "averages over the last thousand steps", _gpu),
    Rule("training.ema_decay", 0.995, "averages over the last two hundred steps"),
    # -- Monte Carlo
    Rule(
        "training.replica_temperatures",
        lambda s: min(64, max(12, 2 * round(s.sites**0.5))),
        "neighbouring temperatures exchange configurations; the more sites, the nearer they must be",
        lambda s: s.sites > _FEW_SITES,
    ),
    Rule("training.sweeps_per_step", 4, "compiled sweeps cost little beside a step", lambda s: s.sites > _FEW_SITES and not s.black_box),
    Rule("training.replica_temperatures", 12, "chains at neighbouring temperatures exchange configurations"),
    Rule("training.replica_potentials", lambda s: {0: 8, 1: 8, 2: 5}.get(s.axes, 3), "fewer a chemical potential where there are several"),
    Rule(
        "training.replica_copies",
        lambda s: s.members * int(s.entries["training.replay_group"]),
        "a group of chains for every alloy",
        lambda s: s.members > 0,
    ),
    Rule("training.replica_copies", lambda s: s.copies(256), "every energy is asked of a black box", lambda s: s.black_box),
    Rule("training.replica_copies", lambda s: s.copies(9216), "chains are cheap on a GPU", _gpu),
    Rule("training.replica_copies", lambda s: s.copies(1024), "several chains for every configuration of a batch"),
    Rule("training.equilibration_sweeps", 200, "every energy is asked of a black box", lambda s: s.black_box),
    Rule("training.equilibration_sweeps", 1000, "before the first step; compiled sweeps take milliseconds"),
    # -- the machine, and what is looked at
    Rule("training.precision", "bfloat16", "twice as fast on a GPU; the trained model draws in float32", _gpu),
    Rule("training.compile", True, "fewer launches of kernels", _gpu),
    Rule("training.evaluate_every", 1000, "an evaluation costs as much as some steps"),
    Rule("training.evaluate_samples", 1024, "so that the worst ESS is known to a few hundredths"),
    Rule("training.checkpoint_every", 1000, "a minute is lost at most"),
)
"""The list. Names of entries are those of a run file."""
