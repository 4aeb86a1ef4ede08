//! A fork-join pool for pieces of work of a few microseconds.
//!
//! Promises: [`Pool::run`] returns after every piece has run exactly once; a thread that the system has put to sleep
//! never holds up a call unless it is in the middle of a piece; two callers at once are safe (the second does its
//! work on its own thread). Never: decides how work is cut; that is the caller's business, so results do not depend
//! on the number of threads.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Most pieces one call may have; the ticket word has 24 bits for it.
const MAX_PIECES: usize = (1 << 24) - 1;
/// Looks at the ticket word before a worker goes to sleep: some tens of microseconds.
const SPINS: u32 = 4_000;

type Body<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// Generation (16 bits), number of pieces (24 bits), next piece (24 bits).
    ticket: AtomicU64,
    /// The running call; written only while no piece is claimed, read only by holders of a claim.
    body: UnsafeCell<Option<*const Body<'static>>>,
    done: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `body` is written by the one caller that holds the pool's gate while no piece is claimed, and read only
// between a claim and its count in `done`; the ticket word orders the two.
unsafe impl Sync for Shared {}
// SAFETY: the pointer inside is only followed while the call that owns the closure waits.
unsafe impl Send for Shared {}

/// Threads that help their caller.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    gate: Mutex<()>,
}

impl Pool {
    /// A pool in which `threads` threads work, the caller included. Zero counts as one. When the system refuses to
    /// start a thread the pool is smaller.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            body: UnsafeCell::new(None),
            done: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..threads)
            .filter_map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("kernel-{i}")).spawn(move || shared.work()).ok()
            })
            .collect();
        Self { shared, workers, gate: Mutex::new(()) }
    }

    /// Number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(0)`, ..., `body(pieces - 1)`, each once, in any order and on any thread.
    ///
    /// # Panics
    /// When a piece panics, after all pieces have ended.
    pub fn run(&self, pieces: usize, body: impl Fn(usize) + Sync) {
        let gate = if pieces > 1 && pieces <= MAX_PIECES && !self.workers.is_empty() {
            self.try_gate()
        } else {
            None
        };
        if gate.is_none() {
            (0..pieces).for_each(body);
            return;
        }
        let erased: &Body<'_> = &body;
        // SAFETY: only the lifetime changes. The pointer is followed by holders of a claim only, and this call does
        // not return before all claims are counted in `done`.
        let erased: *const Body<'static> =
            unsafe { std::mem::transmute::<*const Body<'_>, *const Body<'static>>(erased) };
        self.shared.open(erased, pieces);
        self.shared.help();
        self.shared.wait(pieces);
        if self.shared.panicked.swap(false, Ordering::Relaxed) {
            drop(gate);
            panic!("a parallel piece of work panicked");
        }
    }

    /// Cuts `data` into pieces of `piece` elements (the last may be shorter) and calls `body(index, piece)` for each.
    pub fn chunks_mut<T: Send>(&self, data: &mut [T], piece: usize, body: impl Fn(usize, &mut [T]) + Sync) {
        struct Start<T>(*mut T);
        // SAFETY: pieces are disjoint and T is Send, so each may be handed to another thread.
        unsafe impl<T: Send> Sync for Start<T> {}
        impl<T> Start<T> {
            fn at(&self, offset: usize) -> *mut T {
                self.0.wrapping_add(offset)
            }
        }
        let (len, piece) = (data.len(), piece.max(1));
        let start = Start(data.as_mut_ptr());
        self.run(len.div_ceil(piece), |i| {
            let from = i * piece;
            let size = piece.min(len - from);
            // SAFETY: [from, from + size) lies inside `data` and no other index maps to any of it.
            body(i, unsafe { std::slice::from_raw_parts_mut(start.at(from), size) });
        });
    }

    fn try_gate(&self) -> Option<MutexGuard<'_, ()>> {
        match self.gate.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _bed = self.shared.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Publishes a call. Only the holder of the gate calls this, and only while no piece is claimed.
    fn open(&self, body: *const Body<'static>, pieces: usize) {
        // SAFETY: all pieces of the call before are counted, so no other thread looks at `body`.
        unsafe { *self.body.get() = Some(body) };
        self.done.store(0, Ordering::Relaxed);
        let generation = (self.ticket.load(Ordering::Relaxed) >> 48).wrapping_add(1);
        self.ticket.store((generation << 48) | ((pieces as u64) << 24), Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
    }

    /// The next unclaimed piece, if there is one.
    fn claim(&self) -> Option<usize> {
        let mut ticket = self.ticket.load(Ordering::SeqCst);
        loop {
            let (pieces, next) = ((ticket >> 24) & 0xff_ffff, ticket & 0xff_ffff);
            if next >= pieces {
                return None;
            }
            match self.ticket.compare_exchange_weak(ticket, ticket + 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(next as usize),
                Err(now) => ticket = now,
            }
        }
    }

    /// Runs pieces until none is left to claim.
    fn help(&self) -> bool {
        let mut worked = false;
        while let Some(piece) = self.claim() {
            worked = true;
            // SAFETY: this thread holds a claim of the current call, so `body` is set and outlives the piece.
            let body = unsafe { (*self.body.get()).map(|body| &*body) };
            if let Some(body) = body
                && catch_unwind(AssertUnwindSafe(|| body(piece))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
        worked
    }

    /// Waits until all pieces are counted.
    fn wait(&self, pieces: usize) {
        let mut looks = 0u32;
        while self.done.load(Ordering::Acquire) < pieces {
            looks += 1;
            if looks < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// What a worker does all its life.
    fn work(&self) {
        let mut idle = 0u32;
        while !self.stop.load(Ordering::Relaxed) {
            if self.help() {
                idle = 0;
            } else if idle < SPINS {
                idle += 1;
                std::hint::spin_loop();
            } else {
                self.sleep();
                idle = 0;
            }
        }
    }

    fn sleep(&self) {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !self.stop.load(Ordering::SeqCst) && !self.has_work() {
            bed = self.wake.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn has_work(&self) -> bool {
        let ticket = self.ticket.load(Ordering::SeqCst);
        (ticket & 0xff_ffff) < ((ticket >> 24) & 0xff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_runs_once_however_many_threads() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads);
            for pieces in (0..40).chain([1000]) {
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                pool.run(pieces, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleeping_workers_wake_up() {
        let pool = Pool::new(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            pool.run(100, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        let pool = Pool::new(2);
        for len in 0..50 {
            let mut data = vec![0usize; len];
            pool.chunks_mut(&mut data, 7, |i, piece| piece.iter_mut().for_each(|x| *x += i + 1));
            assert!(data.iter().enumerate().all(|(at, &x)| x == at / 7 + 1));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let failed = catch_unwind(AssertUnwindSafe(|| pool.run(10, |i| assert!(i != 5))));
        assert!(failed.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn two_callers_at_once() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        pool.run(17, |i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 136);
                    }
                });
            }
        });
    }
}
