//! stock-sync, for tests in which services work together.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run::<stock_sync::StockSync>()
}
