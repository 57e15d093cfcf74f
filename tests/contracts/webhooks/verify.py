"""Says of each request on standard input, a line of JSON, whether it passes: the public library's judgement where there
is a secret, that of the file our documents give to receivers where there are public keys.
"""

import binascii
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from verify_v1a import is_genuine


def passes(request):
    headers, body = request["headers"], request["body"].encode()
    if "public_keys" in request:
        told = [headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"]]
        return is_genuine(request["public_keys"], *told, body, request["now"])
    try:
        Webhook(request["secret"]).verify(body, headers)
        return True
    # The second is how the library refuses a signature that is no base64.
    except (WebhookVerificationError, binascii.Error):
        return False


for line in sys.stdin:
    print("genuine" if passes(json.loads(line)) else "refused")
