"""Verifies `v1a` signatures of Standard Webhooks: `pip install cryptography`."""

import re
import time
from base64 import b64decode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Seconds: what was sent longer ago, or is of the future, may be somebody else's repetition.
TOLERANCE = 5 * 60


def is_genuine(public_keys, id, timestamp, signatures, body, now=None):
    """Whether a request is genuine. `public_keys` are those of the subscription; `id`, `timestamp` and `signatures` are
    the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` (empty where one is missing); `body` is the bytes
    as they came, before anything parsed them.
    """
    now = time.time() if now is None else now
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(now - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{id}.{timestamp}.".encode() + body
    keys = [Ed25519PublicKey.from_public_bytes(b64decode(key.removeprefix("whpk_"))) for key in public_keys]
    for entry in signatures.split(" "):
        version, _, signature = entry.partition(",")
        if version != "v1a":
            continue
        for key in keys:
            try:
                key.verify(b64decode(signature), signed)
                return True
            # The second is how a signature is refused that is no base64.
            except (InvalidSignature, ValueError):
                pass
    return False
