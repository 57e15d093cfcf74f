//! The most deliveries of one endpoint that may be sent and not yet recorded. A kill repeats no more than those.

use metrics::{Gauge, gauge};

/// The window while an endpoint is new, slow or failing.
const AT_REST: usize = 8;

/// One endpoint's window. The gauge `webhook_window_deliveries` is the sum of a process's windows.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    limit: usize,
    total: Gauge,
}

impl Window {
    /// A window at rest; its largest size is `limit`.
    pub(super) fn new(limit: usize) -> Self {
        let mut window = Self { size: 0, limit, total: gauge!("webhook_window_deliveries") };
        window.reset();
        window
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn at_rest(&self) -> usize {
        AT_REST.min(self.limit)
    }

    /// Widens it by the `number` of recorded deliveries.
    pub(super) fn grow(&mut self, number: usize) {
        self.resize((self.size + number).min(self.limit));
    }

    pub(super) fn reset(&mut self) {
        self.resize(self.at_rest());
    }

    fn resize(&mut self, size: usize) {
        if size != self.size {
            let number = |size| u32::try_from(size).map_or(f64::MAX, f64::from);
            self.total.increment(number(size) - number(self.size));
            self.size = size;
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn it_grows_to_its_limit_and_falls_back() {
        let mut window = Window::new(20);
        assert_eq!((window.size(), window.at_rest()), (8, 8));
        window.grow(5);
        assert_eq!(window.size(), 13);
        window.grow(50);
        assert_eq!(window.size(), 20);
        window.reset();
        assert_eq!(window.size(), 8);
        assert_eq!(Window::new(2).size(), 2);
    }
}
