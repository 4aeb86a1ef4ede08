//! The programs of one instance while they run: their lines and ends in one place, as they come.

use sagebrush_runner::{Run, RunError, RunEvent, Stopper};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Events that wait to be read; a program that prints faster waits.
const EVENTS: usize = 64;

/// What a program did: its place among the containers, and the event or why it cannot be followed.
pub type Happened = (usize, Result<RunEvent, RunError>);

/// Programs that are followed. Dropping them ends them.
pub struct Programs {
    events: mpsc::Receiver<Happened>,
    /// Those that have not ended.
    stoppers: Vec<Option<Stopper>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Programs {
    /// Follows programs, in the order of their containers.
    pub fn follow(runs: Vec<Run>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let stoppers = runs.iter().map(|run| Some(run.stopper())).collect();
        let follow = |(place, mut run): (usize, Run)| {
            let sender = sender.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let event = run.next_event().await;
                    let is_last = !matches!(event, Ok(RunEvent::Line(_)));
                    if sender.send((place, event)).await.is_err() || is_last {
                        return;
                    }
                }
            }))
        };
        Self { events, stoppers, _tasks: runs.into_iter().enumerate().map(follow).collect() }
    }

    /// The next event of any program, or `None` when all have ended. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<Happened> {
        let happened = self.events.recv().await;
        if let Some((place, Ok(RunEvent::Exited(_)) | Err(_))) = &happened
            && let Some(stopper) = self.stoppers.get_mut(*place)
        {
            *stopper = None;
        }
        happened
    }

    /// Asks all to end.
    pub fn terminate(&self) {
        self.stoppers.iter().flatten().for_each(Stopper::terminate);
    }

    /// Ends all.
    pub fn kill(&self) {
        self.stoppers.iter().flatten().for_each(Stopper::kill);
    }
}

#[cfg(test)]
mod tests {
    use sagebrush_runner::{Exit, Process, Program};

    use super::*;

    async fn shell(script: &str) -> Result<Run, RunError> {
        Run::start(&Program::Process(Process {
            executable: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            folder: std::env::temp_dir(),
        }))
        .await
    }

    #[tokio::test]
    async fn all_events_come_with_their_place_and_all_can_be_ended() -> Result<(), RunError> {
        let runs = vec![shell("echo one; exit 3").await?, shell("echo two; sleep 600").await?];
        let mut programs = Programs::follow(runs);
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        while let Some((place, event)) = programs.next().await {
            match event? {
                RunEvent::Line(line) => lines.push((place, line)),
                RunEvent::Exited(exit) => ends.push((place, exit)),
            }
            if lines.len() == 2 && ends.len() == 1 {
                programs.kill();
            }
        }
        lines.sort();
        assert_eq!(lines, [(0, "one".to_owned()), (1, "two".to_owned())]);
        assert_eq!(ends, [(0, Exit::Code(3)), (1, Exit::Signal(9))]);
        Ok(())
    }
}
