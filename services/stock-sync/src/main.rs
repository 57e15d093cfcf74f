//! `zaplecze-stock-sync`

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run::<stock_sync::StockSync>()
}
