//! Nothing is reached without a credential that reaches so far.

use serde_json::json;

use super::{Findings, Stage};
use crate::Answer;

/// What a path's value is good for, when it is not looked at.
const SOMETHING: &str = "00000000-0000-7000-8000-000000000000";

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let name = stage.subject.name;
    // 403 and not 401 shows that tokens of `token issue` are accepted.
    let bearer = |scope: &str| {
        let issue = ["token", "issue", "--sub", "somebody", "--user-id", "somebody", "--scope", scope];
        format!("Bearer {}", stage.program.run(&issue))
    };
    let foreign = bearer("another-service:read another-service:write another-service:admin");
    let reader = bearer(&format!("{name}:read"));
    let scope = format!("{name}:read {name}:write");
    let unstorable = ["sub", "user_id"].map(|claim| {
        let mut claims = json!({ "sub": "somebody", "user_id": "somebody", "scope": scope });
        claims[claim] = "some\0body".into();
        (claim, format!("Bearer {}", stage.program.sign(claims)))
    });
    for operation in &stage.operations {
        let ask = |credential: &str| -> Answer {
            let headers = [("Authorization", credential)];
            let path = operation.path(SOMETHING);
            stage.program.request(&operation.method, &path, &headers, &[]).expect("an answer")
        };
        let shown = operation.shown();
        for credential in ["", "Bearer not.a.token", "Basic dXNlcjpwYXNzd29yZA=="] {
            let answer = ask(credential);
            let is_refused = answer.status == 401 && answer.is_problem();
            findings.expect(is_refused && !answer.header("www-authenticate").is_empty(), || {
                format!("{shown} with the credential {credential:?} answered {}", answer.status)
            });
        }
        for (claim, credential) in &unstorable {
            let answer = ask(credential);
            findings.expect(answer.status == 401 && answer.is_problem(), || {
                format!("{shown} with U+0000 in the token's {claim} answered {}", answer.status)
            });
        }
        let answer = ask(&foreign);
        findings.expect(answer.status == 403 && answer.is_problem(), || {
            format!("{shown} with a foreign scope answered {}", answer.status)
        });
        if operation.method != "GET" {
            let answer = ask(&reader);
            findings.expect(answer.status == 403 && answer.is_problem(), || {
                format!("{shown} by a reader answered {}", answer.status)
            });
        }
    }
}
