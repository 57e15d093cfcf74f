//! Catches panics, so that a panic ends only one unit of work.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// A caught panic with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panic(String);

impl Panic {
    /// The panic with this payload, as [`catch_unwind`] and joined tasks return it.
    pub fn of(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self(message.to_owned())
    }
}

/// Runs `work` to its end. A panic ends only `work`: its values are dropped while the thread unwinds, so that its
/// database connection is closed instead of reused.
///
/// State that `work` shares with others must be consistent at every point that may panic, as behind a lock whose
/// poisoning is ignored.
///
/// # Errors
/// [`Panic`] with the message.
pub fn catch_panic<F: Future>(work: F) -> impl Future<Output = Result<F::Output, Panic>> {
    // Boxed immediately: a future that contains another by value is as large as both, at each level.
    let mut work = Box::pin(work);
    poll_fn(move |context| match catch_panic_in(|| work.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
}

/// As [`catch_panic`], for `work` whose own error type can hold a panic.
///
/// # Errors
/// The error of `work`, or its panic.
pub fn panic_as_error<T, E: From<Panic>>(
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let caught = catch_panic(work);
    async move { caught.await.unwrap_or_else(|panic| Err(panic.into())) }
}

/// As [`catch_panic`], for synchronous `work`.
///
/// # Errors
/// [`Panic`] with the message.
pub fn catch_panic_in<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic::of(payload.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::{Panic, catch_panic, catch_panic_in};

    fn poll_once<F: Future>(work: F) -> Poll<F::Output> {
        pin!(work).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Records whether it is dropped while the thread unwinds.
    struct Unwound<'a>(&'a AtomicBool);

    impl Drop for Unwound<'_> {
        fn drop(&mut self) {
            self.0.store(std::thread::panicking(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let number = 7;
        assert_eq!(catch_panic_in(|| number + 1), Ok(8));
        let literal = catch_panic_in(|| panic!("boom"));
        assert_eq!(
            literal.map_err(|panic: Panic| panic.to_string()),
            Err::<(), _>("panicked: boom".to_owned())
        );
        let formatted = catch_panic_in(|| panic!("boom {number}"));
        assert_eq!(formatted, Err::<(), _>(Panic("boom 7".to_owned())));
        let other = catch_panic_in(|| std::panic::panic_any(7_u8));
        assert_eq!(other, Err::<(), _>(Panic("no message".to_owned())));
    }

    #[test]
    fn work_that_panics_is_dropped_while_the_thread_unwinds() {
        let (outer, inner) = (AtomicBool::new(false), AtomicBool::new(false));
        let work = catch_panic(async {
            let _outer = Unwound(&outer);
            let nested = async {
                let _inner = Unwound(&inner);
                ready(()).await;
                panic!("boom")
            };
            nested.await;
        });
        assert_eq!(poll_once(work), Poll::Ready(Err::<(), _>(Panic("boom".to_owned()))));
        assert!(outer.into_inner() && inner.into_inner());
    }
}
