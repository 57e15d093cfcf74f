// Says of each request on standard input, a line of JSON, whether it passes: the public library's judgement where there is
// a secret, that of the file our documents give to receivers where there are public keys.
import { createInterface } from "node:readline";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { isGenuine } from "./verify_v1a.mjs";

function passes({ secret, public_keys: publicKeys, headers, body, now }) {
  if (publicKeys) {
    const told = [headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"]];
    return isGenuine(publicKeys, ...told, Buffer.from(body), now);
  }
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return false;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(passes(JSON.parse(line)) ? "genuine" : "refused");
}
