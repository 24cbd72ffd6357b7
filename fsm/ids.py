"""The one door to chance: fresh names for runs and events."""

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 12


def fresh() -> str:
    """Twelve characters, 60 bits, no letters that are read as digits."""
    return "".join(ALPHABET[byte & 31] for byte in secrets.token_bytes(LENGTH))
