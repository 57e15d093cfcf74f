//! Kills the backup while it reads an account's list.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use stack::Stack;

use super::{Kills, TIMEOUT};
use crate::demo::client::Client;
use crate::demo::wait_until;

/// Kills the process repeatedly, each time in an attempt that began since the last kill, at a different point:
/// alternately while it looks up its checkpoint, and after it has stored something. `between` is called with the number
/// of each kill, before the process is restarted.
pub(super) fn kill(
    stack: &mut Stack,
    client: &Client,
    (process, user): (&'static str, &str),
    kills: u32,
    mut between: impl FnMut(&mut Stack, u32) -> Result<()>,
) -> Result<Kills> {
    let started = Instant::now();
    let mut kill_counts = Kills::default();
    let (mut killed_attempt, mut read) = (0, 0);
    for kill in 0..kills {
        wait_until("the list is being read", TIMEOUT, || {
            let reading = client.reading(user)?;
            let is_new = reading.is_under_way && reading.attempt > killed_attempt;
            Ok(reading.is_complete || is_new && (kill % 2 == 0 || reading.read > read))
        })?;
        sleep(Duration::from_millis(u64::from(kill * 97 % 500)));
        let reading = client.reading(user)?;
        stack.kill(process)?;
        kill_counts.note(reading.is_under_way && !reading.is_complete);
        (killed_attempt, read) = (reading.attempt, reading.read);
        println!(
            "[{:>5.1} s] {process} killed after {} of {} orders",
            started.elapsed().as_secs_f32(),
            reading.read,
            reading.total
        );
        between(stack, kill)?;
        stack.start_again(process)?;
    }
    kill_counts.print(process);
    Ok(kill_counts)
}
