//! Generates orders: the same seed gives the same orders (except for times relative to now).

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::change::Change;
use super::clock::written;
use super::orders::fresh_revision;

const NAMES: [(&str, &str); 8] = [
    ("Zażółć", "Gęślą"),
    ("Łucja", "Śliwińska"),
    ("Grzegorz", "Brzęczyszczykiewicz"),
    ("Олена", "Шевченко"),
    ("Ján", "Novák"),
    ("Świętosława", "Źdźbło"),
    ("Юрій", "Їжакевич"),
    ("Anna", "Wójcik-Dąb"),
];
const PLACES: [(&str, &str, &str); 5] = [
    ("Poznań", "60-166", "Grunwaldzka 182"),
    ("Łódź", "90-001", "Piotrkowska 4 m. 7"),
    ("Gdańsk", "80-001", "Długa 12"),
    ("Żywiec", "34-300", "Kościuszki 1"),
    ("Święta Lipka", "11-440", "Święta Lipka 29"),
];
/// The articles that every shop sells: name and price in minor units.
pub(super) const GOODS: [(&str, u32); 6] = [
    ("Świeca sojowa „Jaśmin” 200 g", 3_999),
    ("Mydło w kostce, węgiel i dziegieć", 1_450),
    ("Kubek ceramiczny ręcznie malowany, żółty", 5_900),
    ("Чай трав'яний карпатський 100 г", 2_275),
    ("Krem do rąk – masło shea & miód", 2_999),
    ("Zestaw prezentowy XXL (6 elementów) z dedykacją", 18_950),
];
const MESSAGES: [&str; 3] = [
    "Proszę o szybką wysyłkę 🙂",
    "Будь ласка, запакуйте як подарунок",
    "Prosze o fakture. \"Cudzyslow\", <b>tag</b> & ampersand",
];

/// An order with its history so far.
pub(crate) struct Made {
    pub(crate) form: Value,
    pub(crate) bought_at: OffsetDateTime,
    pub(crate) life: Vec<(Change, OffsetDateTime)>,
}

/// Generates orders from a seed.
pub(crate) struct Generator {
    random: StdRng,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    /// An order bought at a given time, and its changes until `until`.
    pub(crate) fn order(&mut self, bought_at: OffsetDateTime, until: OffsetDateTime) -> Made {
        let form = self.bought(bought_at);
        let mut life = vec![(Change::FillIn, bought_at + self.minutes(1, 10))];
        match self.random.random_range(0..100) {
            0..3 => {}
            3..6 => life.push((Change::AutoCancel, bought_at + Duration::days(7))),
            6..9 => life.push((Change::BuyerCancel, bought_at + self.minutes(20, 90))),
            rest => {
                life.push((Change::Pay, bought_at + self.minutes(10, 60)));
                match rest {
                    9..12 => life.push((Change::BuyerCancel, bought_at + self.minutes(61, 300))),
                    12..15 => {
                        life.push((
                            Change::Fulfill("CANCELLED".to_owned()),
                            bought_at + self.minutes(70, 600),
                        ));
                    }
                    15..18 => life.push((Change::MoveAddress, bought_at + self.minutes(61, 120))),
                    18..40 => {}
                    _ => {
                        for (status, hours) in [("PROCESSING", 5), ("SENT", 24), ("PICKED_UP", 72)] {
                            life.push((
                                Change::Fulfill(status.to_owned()),
                                bought_at + Duration::hours(hours),
                            ));
                        }
                    }
                }
            }
        }
        life.retain(|(_, at)| *at <= until);
        Made { form, bought_at, life }
    }

    /// A time between two, to the millisecond.
    pub(super) fn between(&mut self, from: OffsetDateTime, to: OffsetDateTime) -> OffsetDateTime {
        let span = (to - from).whole_milliseconds().max(1);
        let offset = self.random.random_range(0..span);
        from + Duration::milliseconds(i64::try_from(offset).unwrap_or_default())
    }

    /// A new revision.
    pub(super) fn revision(&mut self) -> String {
        fresh_revision(&mut self.random)
    }

    fn minutes(&mut self, from: i64, to: i64) -> Duration {
        Duration::milliseconds(self.random.random_range(from * 60_000..to * 60_000))
    }

    fn id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.random).unwrap_or_else(|| unreachable!("the lists are not empty"))
    }

    #[expect(clippy::too_many_lines, reason = "one order, written down as Allegro writes it")]
    pub(super) fn bought(&mut self, bought_at: OffsetDateTime) -> Value {
        let (first_name, last_name) = *self.pick(&NAMES);
        let (city, zip, street) = *self.pick(&PLACES);
        let currency = if self.random.random_ratio(1, 20) { "CZK" } else { "PLN" };
        let money = |minor: u32| json!({ "amount": format!("{}.{:02}", minor / 100, minor % 100), "currency": currency });
        let buyer = self.random.random_range(10_000_000_u32..99_999_999);
        let moment = written(bought_at);
        let mut total = 0;
        let lines: Vec<Value> = (0..*self.pick(&[1, 1, 1, 2, 3]))
            .map(|_| {
                let at = self.random.random_range(0..GOODS.len());
                let (name, price) = GOODS.get(at).copied().unwrap_or(("Towar", 100));
                let quantity = *self.pick(&[1_u32, 1, 1, 2, 5]);
                total += price * quantity;
                // Not every seller gives every offer a SKU.
                let external =
                    if self.random.random_ratio(1, 8) { Value::Null } else { json!({ "id": sku(at) }) };
                json!({
                    "id": self.id(),
                    "offer": {
                        "id": offer_id(at),
                        "name": name,
                        "external": external,
                        "productSet": { "products": [{ "id": self.id(), "quantity": 1 }] },
                        "hsNumber": null,
                    },
                    "quantity": quantity,
                    "originalPrice": money(price),
                    "price": money(price),
                    "deposit": null,
                    "reconciliation": null,
                    "selectedAdditionalServices": [],
                    "vouchers": [],
                    "tax": { "rate": "23.00", "subject": "GOODS", "exemption": null },
                    "boughtAt": moment,
                    "discounts": [],
                    "serialNumbers": { "expected": false, "entries": [] },
                })
            })
            .collect();
        let delivery = *self.pick(&[0_u32, 899, 1_299]);
        let wants_invoice = self.random.random_ratio(1, 4);
        let provider = if self.random.random_ratio(1, 10) { "ALLEGRO" } else { "SELLER" };
        let message = if self.random.random_ratio(1, 5) { json!(self.pick(&MESSAGES)) } else { Value::Null };
        let phone = format!("+48{}", self.random.random_range(500_000_000_u32..799_999_999));
        json!({
            "id": self.id(),
            "messageToSeller": message,
            "buyer": {
                "id": buyer.to_string(),
                "email": format!("{buyer:x}+{:08x}@allegromail.pl", self.random.random::<u32>()),
                "login": format!("Client:{buyer}"),
                "firstName": first_name,
                "lastName": last_name,
                "companyName": null,
                "guest": false,
                "personalIdentity": null,
                "phoneNumber": phone,
                "preferences": { "language": "pl-PL" },
                "address": { "street": street, "city": city, "postCode": zip, "countryCode": "PL" },
            },
            "payment": {
                "id": self.id(), "type": "ONLINE", "provider": "PAYU", "finishedAt": null, "paidAmount": null,
                "reconciliation": null, "features": [],
            },
            "status": "BOUGHT",
            "fulfillment": {
                "status": "NEW",
                "shipmentSummary": { "lineItemsSent": "NONE" },
                "provider": { "id": provider },
            },
            "delivery": {
                "address": {
                    "firstName": first_name, "lastName": last_name, "street": street, "city": city, "zipCode": zip,
                    "countryCode": "PL", "companyName": null, "phoneNumber": phone, "modifiedAt": null,
                },
                "method": { "id": "1fa56f79-4b6a-4821-a6f2-ca9c16d5c925", "name": "Allegro Paczkomaty InPost" },
                "pickupPoint": {
                    "id": "POZ08A", "name": "Paczkomat POZ08A", "description": "Stacja paliw",
                    "address": { "street": street, "zipCode": zip, "city": city, "countryCode": "PL" },
                },
                "cost": money(delivery),
                "time": {
                    "from": written(bought_at + Duration::days(1)),
                    "to": written(bought_at + Duration::days(3)),
                    "guaranteed": null,
                    "dispatch": {
                        "from": written(bought_at + Duration::hours(1)),
                        "to": written(bought_at + Duration::days(1)),
                    },
                },
                "smart": delivery == 0,
                "cancellation": null,
                "calculatedNumberOfPackages": 1,
            },
            "invoice": {
                "required": wants_invoice,
                "address": wants_invoice.then(|| json!({
                    "street": street, "city": city, "zipCode": zip, "countryCode": "PL", "company": null,
                    "naturalPerson": { "firstName": first_name, "lastName": last_name },
                })),
                "dueDate": null,
                "features": [],
            },
            "lineItems": lines,
            "surcharges": [],
            "note": null,
            "marketplace": { "id": if currency == "CZK" { "allegro-cz" } else { "allegro-pl" } },
            "summary": { "totalToPay": money(total + delivery) },
            "updatedAt": moment,
            "revision": format!("{:08x}", self.random.random::<u32>()),
        })
    }
}

/// The offer id of an article, by its index.
pub(super) fn offer_id(at: usize) -> String {
    (7_000_000_000_u64 + u64::try_from(at).unwrap_or_default()).to_string()
}

/// The seller's SKU of it.
pub(super) fn sku(at: usize) -> String {
    format!("AH-{at:03}")
}

/// A random seed.
pub(crate) fn any_seed() -> u64 {
    let (seed, _) = Uuid::now_v7().as_u64_pair();
    seed ^ rand::random::<u64>()
}
