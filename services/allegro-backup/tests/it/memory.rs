//! What exports and imports hold in memory, however many orders there are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sandbox::Settings;
use serde_json::json;
use testkit::{eventually, eventually_within, tell};

use crate::archive::File;
use crate::support::{Shop, USER, USER_PATH};

/// How many, where ten thousand are not enough to believe it: an unoptimized build takes minutes for a hundred thousand.
const ORDERS: &str = "MEMORY_ORDERS";
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_export_takes_no_memory_and_who_goes_away_takes_the_query_along() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 100 }));
    shop.connect().await;
    shop.until_read().await;
    // More than sockets hold: 20,000 orders of 3 KB.
    multiply(&shop, 200).await;
    let held = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    // Whether it waits or reads on.
    let begun_at_all = "pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
         AND query LIKE 'SELECT id, allegro_order_id, order_date, version, asked_at%' AND pid <> pg_backend_pid()";
    let before = peak("serve");
    // More than may run at once, one after the other: each gives its place back.
    for _ in 0..4 {
        let mut socket = ask(&shop);
        let mut begun = [0; 12];
        socket.read_exact(&mut begun).unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200");
        eventually("the export to wait for its reader", async || (shop.count(held).await == 1).then_some(()))
            .await;
        drop(socket);
        eventually("its transaction to end", async || (shop.count(begun_at_all).await == 0).then_some(()))
            .await;
    }

    let (mut socket, mut part) = (ask(&shop), vec![0; 1 << 20]);
    let mut bytes = 0;
    while let Ok(read @ 1..) = socket.read(&mut part) {
        bytes += read;
    }
    let most = peak("serve");
    tell(&format!(
        "{} KiB exported; the service held {before} KiB before and {most} KiB at most",
        bytes >> 10
    ));
    assert!(bytes > 40 << 20, "{bytes}");
    assert!(most < before + (24 << 10), "{before} KiB before, {most} KiB at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_export_is_completed_at_the_stop() {
    // Long enough for a slow machine.
    let told = [("SHUTDOWN_DRAIN_SECONDS", "300")];
    let settings = Settings { device_interval: 1, ..Settings::default() };
    let mut shop = Shop::open_told(settings, &told).await;
    shop.admin("POST", "/orders", &json!({ "count": 100 }));
    shop.connect().await;
    shop.until_read().await;
    // More than the socket buffers hold.
    multiply(&shop, 50).await;
    let orders = shop.count("orders").await;
    let mut socket = ask(&shop);
    let mut answer = vec![0; 12];
    socket.read_exact(&mut answer).unwrap();
    shop.service.terminate();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "{} bytes and no end", answer.len());
    let lines = String::from_utf8(answer).unwrap().matches("\"allegro_order_id\":").count();
    assert_eq!(i64::try_from(lines).unwrap(), orders);
    assert_eq!(shop.service.until_ended().code(), Some(0));
}

/// Begins an export, which ends with the connection.
fn ask(shop: &Shop) -> TcpStream {
    let mut socket = TcpStream::connect(shop.service.url().trim_start_matches("http://")).unwrap();
    let token = &shop.service.token;
    write!(
        socket,
        "GET /api/v1/orders/{USER_PATH}/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_are_written_and_restored_in_the_memory_of_a_few() {
    let many = std::env::var(ORDERS).map_or(10_000, |orders| orders.parse().unwrap());
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 100 }));
    shop.connect().await;
    shop.until_read().await;
    let other = Shop::open().await;
    let mut peaks = Vec::new();
    for orders in [1_000, many] {
        multiply(&shop, (orders - shop.count("orders").await) / 100).await;
        let file = File::holding(b"");
        let output = file.path();
        let [export, import] = [
            watched(&shop, &["export", "--user", USER, "--output", output]),
            watched(&other, &["import", output]),
        ];
        assert_eq!(other.count("orders").await, orders);
        tell(&format!("{orders} orders: exported within {export} KiB, imported within {import} KiB"));
        peaks.push((export, import));
    }
    for (few, many) in [(peaks[0].0, peaks[1].0), (peaks[0].1, peaks[1].1)] {
        assert!(many < few + (16 << 10), "{few} KiB for a thousand, {many} KiB for many");
    }
}

/// Runs a command, and returns what it held in memory at most, in KiB.
fn watched(shop: &Shop, arguments: &[&str]) -> u64 {
    let mut most = 0;
    std::thread::scope(|scope| {
        let running = scope.spawn(|| shop.service.command(arguments, &[]));
        let look = eventually_within(PATIENCE, "the command's end", async || {
            most = most.max(peak(arguments[0]));
            running.is_finished().then_some(())
        });
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(look));
        let done = running.join().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    });
    most
}

/// Each order so many times again, under other ids.
async fn multiply(shop: &Shop, copies: i64) {
    shop.run(&format!(
        "INSERT INTO orders (id, token_id, allegro_order_id, status, order_date, line_items, order_data, content_hash, \
             asked_at) \
         SELECT gen_random_uuid(), token_id, '{copies}-' || n || '-' || allegro_order_id, status, order_date, \
             line_items, (order_data::jsonb || jsonb_build_object('id', '{copies}-' || n || '-' || allegro_order_id))::json, \
             content_hash, asked_at \
         FROM orders, generate_series(1, {copies}) n WHERE allegro_order_id NOT LIKE '%-%-%-%-%-%'"
    ))
    .await;
}

/// The most that a program this test has started has ever held in memory, in KiB; `command` is what it does.
fn peak(command: &str) -> u64 {
    let parent = format!("PPid:\t{}\n", std::process::id());
    let of_children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let arguments = std::fs::read_to_string(path.join("cmdline")).ok()?;
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let held = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let is_it = status.contains(&parent) && arguments.split('\0').nth(1) == Some(command);
        is_it.then(|| held.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
    });
    of_children.max().unwrap_or_default()
}
