//! How a process stops: after a delay, within its drain, or at once after a second signal.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Place;

#[test]
fn a_second_signal_does_not_wait() {
    let place = Place::new(&[("API_PORT", "0"), ("MINIMAL_END", "never")]);
    let mut serving = place.serve(&["--insecure-local"]);
    serving.signal(Signal::SIGTERM);
    serving.until("stopping");
    serving.signal(Signal::SIGINT);
    serving.until("second signal; stopping at once");
    assert_eq!(serving.exit(), 1);
}

#[test]
fn a_second_signal_ends_the_process_during_the_delay() {
    let place = Place::new(&[("API_PORT", "0"), ("SHUTDOWN_DELAY_SECONDS", "600")]);
    let mut serving = place.serve(&["--insecure-local"]);
    serving.signal(Signal::SIGTERM);
    serving.until("stopping");
    let port = serving.port();
    let probe = Place::new(&[("API_PORT", &port)]);
    assert_eq!(probe.run(&["health-check"]).status.code(), Some(0), "the port is open");
    serving.signal(Signal::SIGTERM);
    serving.until("second signal; stopping at once");
    assert_eq!(serving.exit(), 1);
}

#[test]
fn the_process_exits_with_0_after_the_delay() {
    let place = Place::new(&[("API_PORT", "0"), ("SHUTDOWN_DELAY_SECONDS", "1")]);
    let mut serving = place.serve(&["--insecure-local"]);
    let asked = Instant::now();
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.exit(), 0);
    assert!(asked.elapsed() >= Duration::from_secs(1), "it did not wait");
}

#[test]
fn a_worker_and_ctrl_c_have_no_shutdown_delay() {
    let place = Place::new(&[("API_PORT", "0"), ("SHUTDOWN_DELAY_SECONDS", "600")]);
    for (roles, signal) in [("worker", Signal::SIGTERM), ("api,worker", Signal::SIGINT)] {
        let mut serving = place.serve(&["--insecure-local", "--role", roles]);
        serving.signal(signal);
        assert_eq!(serving.exit(), 0, "{roles} after {signal}");
    }
}

#[test]
fn unfinished_work_is_abandoned_at_the_end_of_the_drain() {
    let place = Place::new(&[("API_PORT", "0"), ("MINIMAL_END", "never"), ("SHUTDOWN_DRAIN_SECONDS", "1")]);
    let mut serving = place.serve(&["--insecure-local"]);
    serving.signal(Signal::SIGTERM);
    serving.until("work in flight exceeded the drain period; it is released");
    assert_eq!(serving.exit(), 0);
}
