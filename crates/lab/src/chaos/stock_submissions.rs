//! Submits orders over HTTP in addition to their events, and lets many clients compete for a last unit.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{JoinHandle, scope, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use stack::Stack;

use crate::demo::allegro::Allegro;
use crate::demo::stock::Stock;

/// Orders of a list that are submitted, and the interval between reads of the list.
const NEWEST: u32 = 20;
const PAUSE: Duration = Duration::from_millis(300);
/// Number of clients that compete for one unit, and number of units at the same time.
const BUYERS: usize = 64;
const LANES: usize = 8;

/// A connected account.
pub(super) struct Account {
    pub(super) seller: String,
    pub(super) token_id: String,
}

/// A client that submits the newest orders of Allegro's list. It stops when the value is dropped.
pub(super) struct Submitters {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    submitted: AtomicUsize,
    refused: AtomicUsize,
}

impl Submitters {
    /// One client per account, using the replicas alternately.
    pub(super) fn start(
        stack: &Stack,
        allegro: &Allegro,
        accounts: &[Account],
        replicas: &[Stock; 2],
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for (account, stock_sync) in accounts.iter().zip(replicas.iter().cycle()) {
            let bearer = format!("Bearer {}", allegro.access_token(&account.seller)?);
            let list = format!("{}/order/checkout-forms", stack.address("SANDBOX_URL"));
            let list = format!("{list}?limit={NEWEST}&sort=-updatedAt&status=READY_FOR_PROCESSING");
            let (token_id, stock_sync, shared) =
                (account.token_id.clone(), stock_sync.another(), Arc::clone(&shared));
            threads.push(spawn(move || {
                let agent: ureq::Agent = ureq::Agent::new_with_defaults();
                while !shared.stop.load(Ordering::Relaxed) {
                    let read = agent.get(&list).header("Authorization", &bearer).call();
                    let page = read.and_then(|mut answer| answer.body_mut().read_json::<Value>());
                    let forms = page.ok().and_then(|page| page.get("checkoutForms").cloned());
                    for mut form in forms.iter().filter_map(Value::as_array).flatten().cloned() {
                        if let Some(fields) = form.as_object_mut() {
                            fields.insert("token_id".to_owned(), json!(token_id));
                        }
                        let counter = if stock_sync.process(&form).is_ok() {
                            &shared.submitted
                        } else {
                            &shared.refused
                        };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(PAUSE);
                }
            }));
        }
        Ok(Self { shared, threads })
    }

    /// Number of submitted orders, and number of requests without a valid answer.
    pub(super) fn end(self) -> (usize, usize) {
        let shared = Arc::clone(&self.shared);
        drop(self);
        (shared.submitted.load(Ordering::Relaxed), shared.refused.load(Ordering::Relaxed))
    }
}

impl Drop for Submitters {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // The thread does not panic.
            let _ended = thread.join();
        }
    }
}

/// Lets many clients compete for the last unit of one SKU after another, at both replicas at once. Each must be sold
/// once.
pub(super) fn last_unit(replicas: &[Stock; 2], things: u32) -> Result<String> {
    let started = Instant::now();
    let [first, _] = replicas;
    for thing in 0..things {
        first.put(&format!("last-{thing}"), 1)?;
    }
    let (sold, wrong, began) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let lanes: Vec<Barrier> = (0..LANES).map(|_| Barrier::new(BUYERS)).collect();
    scope(|scope| {
        let lanes = (0..things).zip(&lanes);
        for ((lane, together), buyer) in lanes.flat_map(|lane| (0..BUYERS).map(move |buyer| (lane, buyer))) {
            let (sold, wrong) = (&sold, &wrong);
            let [even, odd] = replicas;
            let stock = if buyer % 2 == 0 { even.another() } else { odd.another() };
            scope.spawn(move || {
                for thing in (lane..things).step_by(LANES) {
                    let order = json!({ "id": format!("order-{thing}-{buyer}"), "lineItems": [{
                        "id": format!("line-{thing}-{buyer}"), "quantity": 1,
                        "offer": { "external": { "id": format!("last-{thing}") } },
                    }] });
                    together.wait();
                    match stock.process(&order).as_deref() {
                        Ok("deducted") => sold.fetch_add(1, Ordering::Relaxed),
                        Ok("shortage") => 0,
                        _ => wrong.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    let (sold, wrong, took) = (sold.into_inner(), wrong.into_inner(), began.elapsed());
    let mut left = 0;
    for thing in 0..things {
        left += first.on_hand(&format!("last-{thing}"))?;
    }
    if sold != usize::try_from(things)? || wrong > 0 || left != 0 {
        bail!("of {things} last units {sold} were sold and {left} are left; {wrong} answers were wrong");
    }
    Ok(format!(
        "{things} last units, each wanted by {BUYERS} at once: each sold once ({:.1} s, {:.1} s with counting)",
        took.as_secs_f32(),
        started.elapsed().as_secs_f32()
    ))
}
