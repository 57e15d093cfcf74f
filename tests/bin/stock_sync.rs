//! stock-sync, for tests in which services work together.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run::<stock_sync::StockSync>()
}
