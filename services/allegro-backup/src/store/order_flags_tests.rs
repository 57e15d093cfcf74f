//! Flags of orders that come at the same moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use diesel_async::SimpleAsyncConnection;
use domain::TokenId;
use testkit::Database;
use time::OffsetDateTime;
use uuid::Uuid;

use super::set_stock;

const ORDERS: usize = 300;

const ACCOUNT: &str = "
    INSERT INTO user_tokens (id, user_id, allegro_seller_id, allegro_login, access_token, refresh_token, scopes,
        expires_at, refresh_expires_at, connected_at)
    VALUES (lpad('1', 32, '0')::uuid, 'u', 1, 'l', '', '', '', now(), now(), now())";

/// Whoever hands an order in at stock-sync may be told of it before we are: either there is no such order yet, or it is
/// marked.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_while_it_is_marked_is_marked_or_unknown() {
    let database = Database::create("allegro_backup", "").await;
    pg::migrate(database.url(), &crate::MIGRATIONS).await.unwrap();
    let pool = database.pool();
    let (mut coming, mut marking) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    coming.batch_execute(ACCOUNT).await.unwrap();
    let token_id: TokenId = Uuid::from_u128(1).into();
    for number in 0..ORDERS {
        let id = number.to_string();
        let order = format!(
            "INSERT INTO orders (id, token_id, allegro_order_id, status, fulfillment_status, order_date, line_items, \
                 order_data, content_hash, asked_at, search) \
             VALUES (gen_random_uuid(), '{token_id}', '{id}', 'BOUGHT', 'NEW', now(), 1, '{{}}', '', now(), '')"
        );
        let marked = async {
            loop {
                let now = OffsetDateTime::now_utc();
                if let Some(flags) = set_stock(&mut marking, (token_id, &id), true, now).await.unwrap() {
                    return flags;
                }
            }
        };
        let (come, flags) = tokio::join!(coming.batch_execute(&order), marked);
        come.unwrap();
        assert!(flags.is_stock_updated && flags.stock_updated_at.is_some(), "order {id}: {flags:?}");
    }
}
