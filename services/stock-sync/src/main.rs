//! `zaplecze-stock-sync`

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run::<stock_sync::StockSync>()
}
