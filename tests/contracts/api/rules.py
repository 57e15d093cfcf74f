"""What schemathesis cannot learn from the services' OpenAPI documents."""

import uuid

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

# The example in the documents. A key names one request for a day, and every case is another request.
EXAMPLE_KEY = "order-4711-first-try"

# Rules that JSON Schema cannot express: codes of docs/ERRORS.md and of the errors in a problem's `errors`.
BEYOND_JSON_SCHEMA = {
    # A generated `Idempotency-Key` came with another request before.
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
    # Two fields exclude each other, or one goes with a value of the other.
    "ambiguous",
    "contradiction",
    "needs_v1",
    "not_ordered",
    "no_invoice",
    "unused",
    # Items are unique by one of their fields.
    "duplicate",
    # The first moment of a span comes before its last.
    "invalid_range",
    "in_the_future",
    # Secrets are base64 of a number of bytes.
    "weak_secret",
    "halves_differ",
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers and case.headers.get("Idempotency-Key") == EXAMPLE_KEY:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.check
def valid_data_acceptance(ctx, response, case):
    """As `positive_data_acceptance`, but accepts a refusal that names only what the document cannot say."""
    if response.status_code in (400, 422):
        problem = response.json()
        errors = problem.get("errors") or [{"pointer": "", "code": problem["code"]}]
        if all(is_beyond_the_document(error, case.body) for error in errors):
            return None
    return positive_data_acceptance(ctx, response, case)


def is_beyond_the_document(error, body):
    if error["code"] in BEYOND_JSON_SCHEMA:
        return True
    # Where a format is nullable, schemathesis also generates the empty text, which no format allows.
    return error["code"] == "invalid_value" and value_at(body, error["pointer"]) == ""


def value_at(body, pointer):
    """What an RFC 6901 pointer resolves to in a body; None when it resolves to nothing."""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(body, dict):
            body = body.get(token)
        elif isinstance(body, list) and token.isdigit() and int(token) < len(body):
            body = body[int(token)]
        else:
            return None
    return body
