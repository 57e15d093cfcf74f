//! A process whose key differs from the key that sealed the database does not start.

use super::{Findings, Stage};

/// The id of the tests' key with other bytes.
const WRONG: &str = "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(super) fn check(stage: &mut Stage<'_>, findings: &mut Findings) {
    let before = stage.program.log().len();
    stage.program.start_again_with(&[("ENCRYPTION_KEYS", WRONG)], &[]);
    let status = stage.program.until_ended();
    let log = stage.program.log();
    let said = log.get(before..).unwrap_or_default();
    findings.expect(status.code() == Some(2), || format!("with a wrong key it ended with {status}:\n{said}"));
    findings.expect(said.contains("ENCRYPTION_KEYS") && said.contains("test"), || {
        format!("with a wrong key it does not name the setting and the key:\n{said}")
    });
    findings.expect(!said.contains("AQEB"), || "with a wrong key it shows the key".to_owned());
}
