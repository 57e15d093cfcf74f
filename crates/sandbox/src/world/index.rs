//! Orders in the order of a moment.

/// Pairs of a moment (microseconds) and an order's place, sorted.
#[derive(Debug, Default)]
pub(crate) struct Index(Vec<(i64, usize)>);

impl Index {
    /// Adds many at once.
    pub(crate) fn extend(&mut self, pairs: impl IntoIterator<Item = (i64, usize)>) {
        self.0.extend(pairs);
        self.0.sort_unstable();
    }

    /// Adds one: at the end, mostly.
    pub(crate) fn insert(&mut self, pair: (i64, usize)) {
        let at = self.0.partition_point(|it| *it < pair);
        self.0.insert(at, pair);
    }

    pub(crate) fn remove(&mut self, pair: (i64, usize)) {
        if let Ok(at) = self.0.binary_search(&pair) {
            self.0.remove(at);
        }
    }

    /// The orders of a span, both ends within.
    pub(crate) fn span(&self, (from, to): (i64, i64)) -> &[(i64, usize)] {
        let start = self.0.partition_point(|(at, _)| *at < from);
        let end = self.0.partition_point(|(at, _)| *at <= to);
        self.0.get(start..end).unwrap_or_default()
    }
}
