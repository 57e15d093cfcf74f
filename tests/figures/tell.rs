//! Facts, published to the exchange as a relay does.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::topology::EXCHANGE;
use domain::{IdSource, TokenId, UuidV7Source};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, PublisherConfirm};
use messaging::Broker;
use time::OffsetDateTime;
use tokio::time::interval;
use uuid::Uuid;

/// Published and not confirmed at once, at most.
const WINDOW: usize = 1000;

/// Tells facts. Each is confirmed, or the measurement is void.
pub(crate) struct Teller {
    channel: Channel,
    open: VecDeque<PublisherConfirm>,
    /// When each was told.
    pub(crate) told: HashMap<Uuid, Instant>,
}

impl Teller {
    pub(crate) async fn new(broker: &Broker) -> Self {
        let channel = broker.channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { channel, open: VecDeque::with_capacity(WINDOW), told: HashMap::new() }
    }

    /// Tells so many facts as fast as the broker takes them.
    pub(crate) async fn tell(&mut self, count: usize) {
        for _ in 0..count {
            self.tell_one().await;
        }
        self.settle().await;
    }

    /// Tells facts at a steady rate, for as long as wished.
    pub(crate) async fn tell_steadily(&mut self, per_second: u32, lasting: Duration) {
        let started = Instant::now();
        self.tell_while(per_second, || started.elapsed() < lasting).await;
    }

    /// The same for as long as it shall go on.
    pub(crate) async fn tell_while(&mut self, per_second: u32, goes_on: impl Fn() -> bool) {
        let mut ticks = interval(Duration::from_secs(1) / per_second);
        while goes_on() {
            ticks.tick().await;
            self.tell_one().await;
        }
        self.settle().await;
    }

    async fn tell_one(&mut self) {
        if self.open.len() == WINDOW
            && let Some(confirm) = self.open.pop_front()
        {
            assert!(confirm.await.unwrap().is_ack());
        }
        let fact = fact();
        let (body, options) = (serde_json::to_vec(&fact).unwrap(), BasicPublishOptions::default());
        let properties = BasicProperties::default().with_delivery_mode(2);
        self.told.insert(fact.id.as_uuid(), Instant::now());
        let kind = fact.kind.as_str().into();
        self.open.push_back(
            self.channel.basic_publish(EXCHANGE.into(), kind, options, &body, properties).await.unwrap(),
        );
    }

    /// Waits for all confirms.
    async fn settle(&mut self) {
        for confirm in self.open.drain(..) {
            assert!(confirm.await.unwrap().is_ack());
        }
    }
}

/// A fact of which a body of about 900 bytes is made.
pub(crate) fn fact() -> Envelope {
    let event = AccountConnected {
        token_id: TokenId::from(UuidV7Source.next_id()),
        user_id: "sklep-bench".to_owned(),
        allegro_seller_id: "1".to_owned(),
        allegro_login: "x".repeat(560),
        account_name: None,
        connected_at: OffsetDateTime::UNIX_EPOCH,
        generation: 1,
    };
    let new =
        NewEvent { id: UuidV7Source.next_id().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    Envelope::wrap(&event, new).unwrap()
}
