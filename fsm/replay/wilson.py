"""How far a share of few cases may be from the share of all."""

from math import sqrt

Z_95 = 1.959964


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, by its score.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    Unlike the usual plus or minus it stays between 0 and 1 and says of 0 out of 12 what it should: 0 to 24 %.
    """
    share, spread = hits / of, Z_95**2 / of
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < of else 1.0
