//! A word once a day.

use alerts::Text;
use domain::Language::{self, En, Pl, Ru};
use time::Date;

/// What the day before was like, and what is left of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    /// The day that ended.
    pub(crate) day: Date,
    pub(crate) completed: i64,
    pub(crate) pending: i64,
    pub(crate) failed: i64,
    pub(crate) stale: i64,
    /// Differences nobody has put right.
    pub(crate) discrepancies: i64,
    /// Levels at their threshold or below.
    pub(crate) low: i64,
}

impl Summary {
    /// What people read.
    pub(crate) fn text(&self, language: Language) -> Text {
        let Self { day, completed, pending, failed, stale, discrepancies, low } = self;
        let (title, body) = match language {
            Ru => (
                format!("Склад за {day}"),
                format!(
                    "Выполнено операций: {completed}. В очереди: {pending}, застряло: {stale}, остановлено: {failed}. \
                     Расхождений: {discrepancies}. Заканчивается товаров: {low}."
                ),
            ),
            Pl => (
                format!("Magazyn, {day}"),
                format!(
                    "Wykonanych operacji: {completed}. W kolejce: {pending}, utknęło: {stale}, wstrzymanych: {failed}. \
                     Różnic: {discrepancies}. Towarów na wyczerpaniu: {low}."
                ),
            ),
            En => (
                format!("Stock on {day}"),
                format!(
                    "Operations completed: {completed}. Under way: {pending}, stuck: {stale}, given up: {failed}. \
                     Differences: {discrepancies}. Things running low: {low}."
                ),
            ),
        };
        Text { title, body }
    }
}
