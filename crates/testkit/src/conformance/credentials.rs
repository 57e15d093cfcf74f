//! Nothing is reached without a credential that reaches so far.

use super::{Findings, Stage};
use crate::Answer;

/// What a path's value is good for, when it is not looked at.
const SOMETHING: &str = "00000000-0000-7000-8000-000000000000";

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let name = stage.subject.name;
    let bearer = |scope: &str| format!("Bearer {}", stage.program.token_of("somebody", scope));
    let foreign = bearer("another-service:read another-service:write another-service:admin");
    let reader = bearer(&format!("{name}:read"));
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
