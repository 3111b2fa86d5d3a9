"""Draw seeded random numbers inside kernels: xoshiro256++ over four words of state, the same on every machine.

A stream is a uint64[4] array; `seed_stream` fills it from a seed and a salt, so that each purpose has its own stream and adding draws to
one never moves another.
"""

import math

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry, inner

_TO_UNIT = 1.0 / 9007199254740992.0


@entry
def seed_stream(words: npt.NDArray[np.uint64], seed: int, salt: int) -> None:
    """Fill a stream's state (splitmix64 over seed and salt)."""
    z = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt) * np.uint64(0xD1B54A32D192ED03) + np.uint64(1)
    for i in range(4):
        z += np.uint64(0x9E3779B97F4A7C15)
        x = z
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[i] = x ^ (x >> np.uint64(31))


@entry
def draw(words: npt.NDArray[np.uint64]) -> float:
    """Return a float in [0, 1)."""
    total = words[0] + words[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + words[0]
    shifted = words[1] << np.uint64(17)
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = (words[3] << np.uint64(45)) | (words[3] >> np.uint64(19))
    return np.float64(np.int64(result >> np.uint64(11))) * _TO_UNIT


@entry
def exponential(words: npt.NDArray[np.uint64]) -> float:
    """Return a draw of mean 1."""
    return -math.log(1.0 - draw(words))


@inner
def normal(words: npt.NDArray[np.uint64]) -> float:
    """Return a standard normal draw (Box and Muller; two uniforms each, so that streams stay aligned)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - draw(words)))
    return radius * math.cos(6.283185307179586 * draw(words))
