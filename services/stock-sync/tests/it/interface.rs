//! The HTTP interface as its document tells of it.

use runtime::Service;
use stock_sync::StockSync;
use testkit::every_route_guards_itself;
use testkit::openapi::{committed, lint};

use crate::support::Desk;

#[test]
fn the_document_lacks_nothing_and_is_the_committed_one() {
    let document = StockSync::openapi();
    assert_eq!(lint(&document), Vec::<String>::new());
    committed("openapi/stock-sync.json", &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_lets_in_whom_it_should_not() {
    every_route_guards_itself(&Desk::open().await.service, "stock-sync");
}
