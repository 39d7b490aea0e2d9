"""The names of noise: what a random draw depends on beside the logits.

With a position and a token they give the noise itself, in `trimtab.decoding.noise`.
"""

import hashlib


def noise_key(seed: int, sample_id: str, role: str) -> int:
    """Return the 64-bit name of one speaker's noise in one answer."""
    digest = hashlib.sha256(f"{seed}\x00{role}\x00{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
