"""Chance that replays: a hash of what it is for."""

import hashlib


def shortened(ms: int, seed: str) -> int:
    """`ms`, less up to half of it: what many wait for together does not come back together.

    The scheme is "equal jitter": M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog.
    """
    chance = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
    return ms - (ms // 2 * chance >> 32)
