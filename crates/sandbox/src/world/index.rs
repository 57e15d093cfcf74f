//! An index of orders by a time.

/// Pairs of a time (microseconds) and an order's position, sorted.
#[derive(Debug, Default)]
pub(crate) struct Index(Vec<(i64, usize)>);

impl Index {
    /// Adds many at once.
    pub(crate) fn extend(&mut self, pairs: impl IntoIterator<Item = (i64, usize)>) {
        self.0.extend(pairs);
        self.0.sort_unstable();
    }

    /// Adds one, usually at the end.
    pub(crate) fn insert(&mut self, pair: (i64, usize)) {
        let at = self.0.partition_point(|it| *it < pair);
        self.0.insert(at, pair);
    }

    pub(crate) fn remove(&mut self, pair: (i64, usize)) {
        if let Ok(at) = self.0.binary_search(&pair) {
            self.0.remove(at);
        }
    }

    /// The orders of a range, including both ends.
    pub(crate) fn span(&self, (from, to): (i64, i64)) -> &[(i64, usize)] {
        let start = self.0.partition_point(|(at, _)| *at < from);
        let end = self.0.partition_point(|(at, _)| *at <= to);
        self.0.get(start..end).unwrap_or_default()
    }
}
