//! Wrong settings are refused, all at once, by name, and without being shown where they are secret.

use super::commands::text;
use super::{Findings, Stage};

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let prefix = stage.subject.name.to_ascii_uppercase().replace('-', "_");
    let unknown = format!("{prefix}_NO_SUCH_SETTING");
    let secret = "hunter2";
    let wrong = [
        ("API_PORT", "70000"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "mysql://u:hunter2@host/name"),
        ("AUTH_JWT_SECRET", secret),
        (unknown.as_str(), "1"),
    ];
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let refused = stage.program.command(command, &wrong);
        let said = text(&refused);
        findings.expect(refused.status.code() == Some(2), || {
            format!("{command:?} with wrong settings ended with {}, not 2:\n{said}", refused.status)
        });
        for (name, _) in wrong {
            findings.expect(said.contains(name), || format!("{command:?} does not name {name}:\n{said}"));
        }
        findings.expect(!said.contains(secret), || format!("{command:?} shows a secret"));
    }
    let open = [("AUTH_JWT_SECRET", ""), ("AUTH_API_KEYS", "")];
    let refused = stage.program.command(&["serve"], &open);
    findings.expect(refused.status.code() == Some(2) && text(&refused).contains("AUTH_JWT_SECRET"), || {
        format!("without any credential configured it ended with {}:\n{}", refused.status, text(&refused))
    });
}
