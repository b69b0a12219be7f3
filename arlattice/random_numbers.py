"""Random numbers: one counter-based generator for the whole library.

A number is a function of (seed, purpose, sample, step) and of nothing else: not of the batch it is drawn in, nor of threads,
nor of what was drawn before it. CPU and GPU give the same bits. The generator is Philox4x32-10: a 64-bit seed is the key, and
the 128-bit counter holds

    word 0, word 1    number of the step // 2 (one call gives two numbers of 53 bits)
    word 2            number of the sample
    word 3            the purpose: CRC-32 of its name

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011). The
tests hold it to the known answers of Random123.
"""

from __future__ import annotations

import operator
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from arlattice.arguments import LARGEST_INTEGER
from arlattice.errors import InputError
from arlattice.kernels import nvrtc

__all__ = ["DRAWN", "HIGHEST_SEED", "Stream", "check_seed", "fresh_seed", "known_seed", "philox", "purpose_word", "uniform"]

HIGHEST_SEED = LARGEST_INTEGER
"""The largest seed: what fits into a signed 64-bit integer, as files hold it."""

DRAWN = "sample"
"""The purpose of the random numbers behind the samples of a model."""

_FRESH_BITS = 53  # of a seed that nobody chose: every program that reads it holds it exactly
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF
_TOGETHER = {"cpu": 2**13}  # pairs of numbers made in one go: they stay in the cache of a core
_ON_A_DEVICE = 2**22
_LANES = 128  # of a block of the kernel of a GPU
_AHEAD = {"cpu": 2**15, "cuda": 2**21}  # numbers that a stream makes before they are asked for, at most


# -- seeds ---------------------------------------------------------------------------------------


def check_seed(seed: Any, argument: str = "seed") -> int:
    """A given seed as a plain integer.

    Raises:
        InputError: no whole number from 0 to `HIGHEST_SEED`.
    """
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= HIGHEST_SEED:
        raise InputError(argument, seed, f"give a whole number from 0 to {HIGHEST_SEED}, or None for a fresh one")
    return number


def fresh_seed() -> int:
    """From the entropy of the operating system."""
    return secrets.randbits(_FRESH_BITS)


def known_seed(seed: int | None, argument: str = "seed") -> int:
    """The seed given, checked; for None a fresh one, to be recorded."""
    return fresh_seed() if seed is None else check_seed(seed, argument)


def purpose_word(name: str) -> int:
    """The 32-bit number of a purpose."""
    return zlib.crc32(name.encode())


# -- numbers -------------------------------------------------------------------------------------


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10.

    Args:
        counter: four 32-bit words, the lowest first, as int64 tensors of one shape; they are overwritten.
        seed: the 64-bit key.

    Returns:
        Four random 32-bit words of that shape, int64.
    """
    a, b, c, d = counter
    keys = [seed & _WORD, seed >> 32 & _WORD]
    shifted = torch.empty_like(a)
    for _ in range(_ROUNDS):
        # signed products wrap: their low 64 bits are right, and the masks drop what the sign puts on top. b and d keep high bits
        # that the next mask drops.
        a.mul_(_MULTIPLIERS[0])
        c.mul_(_MULTIPLIERS[1])
        b.bitwise_xor_(torch.bitwise_right_shift(c, 32, out=shifted)).bitwise_xor_(keys[0]).bitwise_and_(_WORD)
        d.bitwise_xor_(torch.bitwise_right_shift(a, 32, out=shifted)).bitwise_xor_(keys[1]).bitwise_and_(_WORD)
        a, b, c, d = b, c, d, a
        keys = [(key + step) & _WORD for key, step in zip(keys, _WEYL, strict=True)]
    return a, b.bitwise_and_(_WORD), c, d.bitwise_and_(_WORD)


def uniform(seed: int, purpose: int, steps: tuple[int, int], samples: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Numbers in [0, 1), each a function of (seed, purpose, sample, step) alone.

    Args:
        seed: from 0 to `HIGHEST_SEED`.
        purpose: 32 bits, see `purpose_word`; numbers of different purposes are independent.
        steps: the first step and their number.
        samples: the first sample and their number.
        device: where to make them.

    Returns:
        (steps, samples) float64, multiples of 2^-53.
    """
    (first, n), (_, width) = steps, samples
    start, stop = first // 2, (first + n + 1) // 2
    numbers = torch.empty(stop - start, 2, width, dtype=torch.float64, device=device)
    if numbers.is_cuda and nvrtc.available():
        _fill_on_gpu(numbers, seed, purpose, start, samples[0])
        return numbers.flatten(0, 1)[first % 2 : first % 2 + n]
    rows = max(1, _TOGETHER.get(numbers.device.type, _ON_A_DEVICE) // max(1, width))
    for block in range(0, stop - start, rows):
        _fill(numbers[block : block + rows], seed, purpose, start + block, samples[0])
    return numbers.flatten(0, 1)[first % 2 : first % 2 + n]


def _fill(numbers: Tensor, seed: int, purpose: int, first_pair: int, first_sample: int) -> None:
    """Both numbers of every pair of steps, (pairs, 2, samples)."""
    rows, _, width = numbers.shape
    pair = torch.arange(first_pair, first_pair + rows, device=numbers.device)[:, None].expand(rows, width)
    sample = torch.arange(first_sample, first_sample + width, device=numbers.device).expand(rows, width)
    words = philox((pair & _WORD, pair >> 32, sample & _WORD, torch.full_like(sample, purpose)), seed)
    for half in (0, 1):
        high, low = words[2 * half], words[2 * half + 1]
        numbers[:, half] = high.bitwise_left_shift_(21).bitwise_or_(low.bitwise_right_shift_(11))
    numbers.mul_(2.0**-53)  # after the copy to float64: a product of integers and a number would be float32


def _fill_on_gpu(numbers: Tensor, seed: int, purpose: int, first_pair: int, first_sample: int) -> None:
    """The same by one kernel, in place of some eighty."""
    rows, _, width = numbers.shape
    if numbers.numel():
        arguments = [*nvrtc.words(seed), purpose, *nvrtc.words(first_pair), first_sample, rows, width, numbers]
        with torch.cuda.device(numbers.device):
            kernel = nvrtc.compiled("uniform", "uniform.cu", nvrtc.defines(REAL="double", Q=2), "", torch.cuda.current_device())
            kernel(grid=(min(4096, -(-rows * width // _LANES)), 1, 1), block=(_LANES, 1, 1), args=arguments)


class Stream:
    """Random numbers of one seed and purpose, drawn step after step; the state is the number of the next step.

    Numbers are made ahead in large blocks where the same number of samples is asked for again: what they are does not
    depend on it.

    Args:
        seed: None takes a fresh one, which `seed` then tells.
        name: of the purpose.
        device: where numbers are made.
        first: number of the first sample: with 100, the samples that others call 100, 101, ... have the same numbers here.

    Attributes:
        seed: behind all numbers.
        name: of the purpose.
        device: of the numbers.
        step: the next step of every sample.
    """

    def __init__(self, seed: int | None = None, name: str = "", device: torch.device | str = "cpu", first: int = 0) -> None:
        self.seed, self.name, self.device, self.first = known_seed(seed), name, torch.device(device), first
        self.step = 0
        self._purpose, self._branches = purpose_word(name), dict[str, Stream]()
        self._made, self._made_from = torch.empty(0, 0, dtype=torch.float64, device=self.device), 0

    @classmethod
    def of(cls, seed: int | Stream | None, name: str, device: torch.device | str) -> Stream:
        """The stream given, a branch of a larger run; or a new one of this seed."""
        return seed if isinstance(seed, Stream) else cls(seed, name, device)

    def __getitem__(self, name: str) -> Stream:
        """The branch of that name: the same seed, an independent purpose and steps of its own. It is made once."""
        if name not in self._branches:
            self._branches[name] = Stream(self.seed, f"{self.name}/{name}", self.device, self.first)
        return self._branches[name]

    def uniform(self, steps: int, samples: int) -> Tensor:
        """The next ``steps`` numbers of ``samples`` samples, (steps, samples) float64 in [0, 1); not to be changed in place."""
        end, width = self.step + steps, self._made.shape[1]
        if width != samples or self.step < self._made_from or end > self._made_from + len(self._made):
            ahead = min(2 * len(self._made), _AHEAD.get(self.device.type, 0) // max(1, samples)) if width == samples else 0
            self._made, self._made_from = self._make(max(steps, ahead), samples), self.step
        taken = self._made[self.step - self._made_from : end - self._made_from]
        self.step = end
        return taken

    def take(self, steps: int) -> tuple[int, int]:
        """The next ``steps`` numbers of every sample, made elsewhere: the word of the purpose and the first step."""
        self.step += steps
        return self._purpose, self.step - steps

    def integers(self, below: int, steps: int, samples: int) -> Tensor:
        """The next whole numbers from 0 to ``below`` - 1, (steps, samples) int64."""
        return (self.uniform(steps, samples) * below).long()

    def permutation(self, n: int) -> Tensor:
        """The next random order of 0 to ``n`` - 1, (n,) int64."""
        return self._shared(n).argsort()

    def permutations(self, n: int, times: int) -> Tensor:
        """The next random orders, (times, n) int64."""
        return self._shared(times * n).view(times, n).argsort(1)

    def _shared(self, steps: int) -> Tensor:
        """The next numbers of sample 0, whichever is the first here: what is drawn once for all samples."""
        if self.first == 0:
            return self.uniform(steps, 1)[:, 0]
        self.step += steps
        return uniform(self.seed, self._purpose, (self.step - steps, steps), (0, 1), self.device)[:, 0]

    def _make(self, steps: int, samples: int) -> Tensor:
        return uniform(self.seed, self._purpose, (self.step, steps), (self.first, samples), self.device)

    # -- to go on later with the same bits -------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """The next step of this stream and of all its branches, by name."""
        found = {self.name: self.step}
        for name in sorted(self._branches):
            found |= self._branches[name].counters()
        return found

    def restore(self, counters: Mapping[str, int]) -> None:
        """Go on from `counters`, which may name branches that are not made yet."""
        self.step = int(counters.get(self.name, 0))
        for name in counters:
            if name.startswith(f"{self.name}/"):
                self[name.removeprefix(f"{self.name}/").partition("/")[0]].restore(counters)
