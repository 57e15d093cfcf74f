"""Rules of the API that the OpenAPI documents cannot express, for schemathesis."""

import uuid

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

# The example key in the documents. A key identifies one request for a day, so each case needs its own key.
EXAMPLE_KEY = "order-4711-first-try"

# Rules that JSON Schema cannot express: codes of docs/reference/ERRORS.md and of the errors in a problem's `errors`.
BEYOND_JSON_SCHEMA = {
    # An earlier request used the generated `Idempotency-Key`.
    "idempotency_key_reused",
    # A cursor is one that the same list returned.
    "invalid_cursor",
    # Text that Postgres cannot store.
    "nul_character",
    # A receiver's URL leads to an address that may be sent to.
    "address_refused",
    # Event types are data: GET /api/v1/event-types lists them.
    "unknown_event_type",
    "type_not_allowed",
    # Two fields exclude each other, or one requires a value of the other.
    "ambiguous",
    "contradiction",
    "needs_v1",
    "not_ordered",
    "no_invoice",
    "unused",
    "excludes_dates",
    # Items are unique by one of their fields.
    "duplicate",
    # A bundle is no component: its SKU is in the path, and other bundles are data.
    "bundle_nested",
    # The first moment of a span comes before its last.
    "invalid_range",
    # A moment lies within bounds that move with the time of the request.
    "in_the_future",
    "too_old",
    # Secrets are base64 of a number of bytes.
    "weak_secret",
    "halves_differ",
    # Names of time zones are data: the IANA database.
    "invalid_time_zone",
    # Allegro decides about tokens.
    "refused",
}

# Two fields, each of which requires the other.
PAIRS = ("/access_token", "/refresh_token")

# Fields with a grammar of their own: certificates, URLs, keys.
GRAMMARS = ("/custom_ca", "/client_certificate", "/url", "/secret")


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers and case.headers.get("Idempotency-Key") == EXAMPLE_KEY:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.check
def valid_data_acceptance(ctx, response, case):
    """As `positive_data_acceptance`, but accepts refusals whose rules the document cannot express."""
    if response.status_code in (400, 422):
        problem = response.json()
        # The rules of a CSV file, which has no schema.
        if problem["code"] == "import_refused":
            return None
        errors = problem.get("errors") or [{"pointer": "", "code": problem["code"]}]
        if all(is_beyond_the_document(error, case.body) for error in errors):
            return None
    return positive_data_acceptance(ctx, response, case)


def is_beyond_the_document(error, body):
    if error["code"] in BEYOND_JSON_SCHEMA:
        return True
    # A filter is any object in the document.
    if error["pointer"].startswith("/filter"):
        return True
    if error["code"] == "malformed" and error["pointer"].startswith(GRAMMARS):
        return True
    if error["code"] == "missing" and error["pointer"] in PAIRS:
        return True
    # Where a format is nullable, schemathesis also generates the empty text, which no format allows.
    return error["code"] == "invalid_value" and value_at(body, error["pointer"]) == ""


def value_at(body, pointer):
    """The value at an RFC 6901 pointer in a body; None when there is none."""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(body, dict):
            body = body.get(token)
        elif isinstance(body, list) and token.isdigit() and int(token) < len(body):
            body = body[int(token)]
        else:
            return None
    return body
