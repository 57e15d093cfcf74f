// Verifies `v1a` signatures of Standard Webhooks with what Node.js has by itself.
import { createPublicKey, verify } from "node:crypto";

// Seconds: what was sent longer ago, or is of the future, may be somebody else's repetition.
const TOLERANCE = 5 * 60;

// Whether a request is genuine. `publicKeys` are those of the subscription; `id`, `timestamp` and `signatures` are the
// headers `webhook-id`, `webhook-timestamp` and `webhook-signature` (empty where one is missing); `body` is the Buffer as it
// came, before anything parsed it.
export function isGenuine(publicKeys, id, timestamp, signatures, body, now = Date.now() / 1000) {
  if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp)) > TOLERANCE) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const keys = publicKeys.map((key) => {
    const x = Buffer.from(key.replace(/^whpk_/, ""), "base64").toString("base64url");
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  });
  return signatures.split(" ").some((entry) => {
    const [version, signature = ""] = entry.split(",");
    return version === "v1a" && keys.some((key) => verify(null, signed, key, Buffer.from(signature, "base64")));
  });
}
