"""Says of each request on standard input, a line of JSON, whether the public library lets it pass."""

import binascii
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    request = json.loads(line)
    try:
        Webhook(request["secret"]).verify(request["body"].encode(), request["headers"])
        print("genuine")
    # The second is how the library refuses a signature that is no base64.
    except (WebhookVerificationError, binascii.Error):
        print("refused")
