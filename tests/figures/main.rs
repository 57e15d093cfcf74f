//! What `cargo xtask bench webhooks` and `cargo xtask chaos webhooks` run: receivers, somebody who tells facts, and the
//! released program of webhook-dispatcher between them. Writes its figures to a file, as JSON.
//!
//! It stands here because it needs a runtime and clients, which xtask does without.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that goes wrong is void")]

mod cases;
mod chaos;
mod raw;
mod sink;
mod stage;
mod tell;

use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::Size;

const FULL: Size = Size { one: 50_000, many: 5_000, lasting: Duration::from_secs(10), pending: 1_000_000 };
const QUICK: Size = Size { one: 20_000, many: 1_000, lasting: Duration::from_secs(5), pending: 100_000 };

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, file, case, rest @ ..] = arguments.as_slice() else {
        panic!("which program, file and case?")
    };
    let binary: &'static str = binary.clone().leak();
    let figures = match case.as_str() {
        "full" => bench(binary, &FULL, rest).await,
        "quick" => bench(binary, &QUICK, rest).await,
        "chaos" | "rolling" => {
            let number = rest.first().unwrap().parse().unwrap();
            let how = if case == "chaos" { chaos::End::Kill } else { chaos::End::Stop };
            chaos::run(binary, number, how).await
        }
        other => panic!("there is no case {other}"),
    };
    std::fs::write(file, figures.to_string()).unwrap();
}

/// One round of the cases named, or of all.
async fn bench(binary: &'static str, size: &Size, only: &[String]) -> Value {
    let mut figures = json!({});
    let cases = ["one", "many", "delays", "together", "hanging", "memory"];
    for case in cases.into_iter().filter(|case| only.is_empty() || only.iter().any(|it| it == case)) {
        figures[case] = match case {
            "one" => cases::drain(binary, size.one, 1).await,
            "many" => cases::drain(binary, size.many, 20).await,
            "delays" => cases::delays(binary, 1000, size.lasting).await,
            "memory" => cases::memory(binary, size.pending, size.lasting).await,
            _ => cases::hanging(binary, 20, size.lasting, case == "hanging").await,
        };
    }
    figures
}
