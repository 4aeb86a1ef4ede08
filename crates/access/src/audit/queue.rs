//! Lines on their way to the writer. Reads leave theirs and go on: the writer is woken once for many of
//! them. Changes wait until theirs is written.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::limits::AUDIT_QUEUE_BYTES;

/// The longest that the line of a read waits for company.
const GATHER: Duration = Duration::from_millis(100);

/// What was handed in since the writer last took it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Lines, each with its end.
    pub text: Vec<u8>,
    /// Lines in `text`.
    pub count: u64,
    /// Told when `text` is in the file; dropped when it cannot be.
    pub waiting: Vec<oneshot::Sender<()>>,
    /// Lines for which there was no room.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    closed: bool,
}

/// Lines for the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the writer finds.
pub(super) enum Taken {
    /// Lines.
    Batch(Batch),
    /// Nothing for this long.
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in the line of a read, which is counted as lost when there is no room for it.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.batch.text.len() + line.len() > AUDIT_QUEUE_BYTES {
            state.batch.lost += 1;
            return;
        }
        let was_empty = state.batch.text.is_empty();
        state.batch.text.extend_from_slice(line);
        state.batch.count += 1;
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
    }

    /// Hands in the line of a change and waits until it is in the file. There is always room for it: there
    /// are no more of them than requests at once.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn push_and_wait(&self, line: &[u8]) -> Result<(), oneshot::error::RecvError> {
        let (done, written) = oneshot::channel();
        {
            let mut state = self.lock();
            state.batch.text.extend_from_slice(line);
            state.batch.count += 1;
            if !state.closed {
                state.batch.waiting.push(done);
            }
        }
        self.changed.notify_one();
        written.await
    }

    /// Nothing will be handed in any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Lines of a batch that could not be written are lost.
    pub fn count_lost(&self, lines: u64) {
        self.lock().batch.lost += lines;
    }

    /// What there is, after waiting for it at most `idle`.
    pub fn take(&self, idle: Duration) -> Taken {
        let nothing = |state: &mut State| state.batch.text.is_empty() && !state.closed;
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, idle, nothing);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let patient = |state: &mut State| {
            !state.batch.text.is_empty() && state.batch.waiting.is_empty() && !state.closed
        };
        let waited = self.changed.wait_timeout_while(state, GATHER, patient);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.batch.text.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Nothing };
        }
        Taken::Batch(std::mem::take(&mut state.batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        let queue = Queue::default();
        let line = vec![b'x'; AUDIT_QUEUE_BYTES / 2];
        for _ in 0..5 {
            queue.push(&line);
        }
        let Taken::Batch(batch) = queue.take(Duration::ZERO) else { panic!("a batch") };
        assert_eq!((batch.count, batch.lost), (2, 3));
        assert!(matches!(queue.take(Duration::ZERO), Taken::Nothing));
        queue.close();
        assert!(matches!(queue.take(Duration::ZERO), Taken::Closed));
    }
}
