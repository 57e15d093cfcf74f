//! A service works only on the schema for which it was compiled.

use std::time::Duration;

use super::commands::text;
use super::{Findings, Stage};
use crate::{eventually_within, openapi};

/// A service checks its schema again within this time.
const LIMIT: Duration = Duration::from_mins(1);

/// Every service has this table.
const AWAY: &str = "ALTER TABLE idempotency_keys RENAME status TO status_away";
const BACK: &str = "ALTER TABLE idempotency_keys RENAME status_away TO status";
const MISSING: &str = "idempotency_keys.status";

/// Drops everything, as in a database that was never migrated.
const DROP_ALL: &str = "DO $$ DECLARE name text; BEGIN \
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP \
        EXECUTE format('DROP TABLE %I CASCADE', name); \
    END LOOP; \
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() LOOP \
        EXECUTE format('DROP SEQUENCE %I CASCADE', name); \
    END LOOP; \
END $$";

pub(super) async fn check_columns(stage: &Stage<'_>, findings: &mut Findings) {
    let schema = stage.subject.schema;
    openapi::committed_at(&format!("migrations/{schema}/columns.txt"), &stage.database.columns().await);

    stage.database.run_sql(AWAY).await;
    until_outdated(stage, MISSING).await;
    let refused = stage.program.command(&["migrate"], &[]);
    findings.expect(!refused.status.success() && text(&refused).contains(MISSING), || {
        format!("migrate does not name a missing column:\n{}", text(&refused))
    });
    check_requests(stage, findings);
    stage.database.run_sql(BACK).await;
    until_ready(stage).await;
}

pub(super) async fn check_migrations(stage: &mut Stage<'_>, findings: &mut Findings) {
    stage.database.run_sql(DROP_ALL).await;
    stage.program.start_again_with(&[], &[]);
    until_outdated(stage, "pending migrations").await;
    check_requests(stage, findings);
    let metrics = stage.program.metrics();
    let pending = metrics.lines().find_map(|line| line.strip_prefix("schema_migrations_pending "));
    findings.expect(pending.is_some_and(|number| number != "0"), || {
        format!("schema_migrations_pending is {pending:?} on a database that is not migrated")
    });
    let migrated = stage.program.command(&["migrate"], &[]);
    findings.expect(migrated.status.success(), || format!("migrate:\n{}", text(&migrated)));
    until_ready(stage).await;
}

/// No request reaches the outdated schema: each is refused before.
fn check_requests(stage: &Stage<'_>, findings: &mut Findings) {
    let mut refused = 0;
    let bearer = format!("Bearer {}", stage.program.token);
    for operation in stage.operations.iter().filter(|it| it.method == "GET") {
        let path = operation.path("00000000-0000-0000-0000-000000000000");
        let answer = stage.program.request("GET", &path, &[("Authorization", &bearer)], &[]);
        let answer = answer.expect("an answer");
        let problem = answer.json();
        let is_told = answer.status == 503 && problem["code"] == "schema_outdated";
        refused += u32::from(is_told);
        findings.expect(answer.status < 500 || is_told, || {
            format!("{} on an outdated schema: {} {problem}", operation.shown(), answer.status)
        });
        findings.expect(!is_told || !answer.header("retry-after").is_empty(), || {
            format!("{} on an outdated schema: no Retry-After", operation.shown())
        });
    }
    findings.expect(refused > 0, || "no request is answered 503 schema_outdated".to_owned());
}

async fn until_outdated(stage: &Stage<'_>, what: &str) {
    eventually_within(LIMIT, &format!("/readyz and /health to say schema_outdated, {what}"), async || {
        let is_told = |path: &str| {
            let answer = stage.program.request("GET", path, &[], &[]).ok()?;
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            Some(answer.status == 503 && said.contains("schema_outdated") && said.contains(what))
        };
        (is_told("/readyz") == Some(true) && is_told("/health") == Some(true)).then_some(())
    })
    .await;
}

async fn until_ready(stage: &Stage<'_>) {
    eventually_within(LIMIT, "/readyz to say that the schema is there", async || {
        let answer = stage.program.request("GET", "/readyz", &[], &[]).ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
}
