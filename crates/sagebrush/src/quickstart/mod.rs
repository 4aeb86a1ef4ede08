//! `sagebrush quickstart`: from a ratings file to answers from a live endpoint, with one command.
//!
//! It starts a server and is from then on only a client: everything goes through the signed public API that users
//! call. Promises: the errors are over the whole test split; what is chosen is chosen on validation; the server ends
//! with the run unless it is kept, on Ctrl-C and on failure too. Never reads the server's folders or its memory other
//! than by the API (the key and address it writes down, and its processes' sizes under /proc, excepted).

mod arguments;
mod baselines;
pub(crate) mod client;
mod curve;
mod deploy;
mod download;
mod evaluate;
mod input;
mod jobs;
mod memory;
mod place;
mod prepare;
mod ratings;
mod recipe;
mod recommend;
mod report;
mod screen;
mod server;
mod summary;
mod train;
mod training_log;
mod zip;

pub use arguments::QuickstartArgs;

use anyhow::{Context, bail};
use bytes::Bytes;
use client::Client;
use input::Input;
use memory::MemorySampler;
use place::Place;
use ratings::Splits;
use recipe::Recipe;
use report::{Findings, Step};
use sagebrush_env::Clock;
use screen::{Screen, size, spoken};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the whole workflow.
///
/// # Errors
/// The first thing that failed, with the reason AWS's error or the job gave and, if the server died, the end of its
/// output. The server does not outlive an error.
pub async fn run(args: QuickstartArgs) -> anyhow::Result<()> {
    let screen = Screen::of_this_process();
    let own = args.own_hyperparameters()?;
    let scratch = tempfile::tempdir().context("no temporary folder can be made")?;
    let home = DataHome::of(args.data_dir.as_deref())?;
    let mut clock = StepClock::default();

    screen.line(&screen.bold("sagebrush quickstart: ratings in, recommendations from a live endpoint out"));
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let began = Instant::now();
    let input = tokio::select! {
        input = Input::resolve(&args, scratch.path(), screen) => input?,
        () = &mut interrupted => bail!("interrupted"),
    };
    let found = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut server = tokio::select! {
        server = Server::start(home.path()) => server?,
        () = &mut interrupted => bail!("interrupted"),
    };
    let memory = MemorySampler::start(server.process_id());
    clock.record("start", began.elapsed().as_secs_f64(), memory.end_step());
    screen.line(&format!("   data: {} (ready in {})", input.source, spoken(found)));
    screen.line(&format!(
        "   server: {} on {} (listening after {})",
        server.info.endpoint,
        home.path().display(),
        spoken(began.elapsed().as_secs_f64())
    ));

    let client = Client::new(&server.info.endpoint, &server.info.region, server.key.clone())?;
    let place = Place::new(&server.info.region, &server.info.account, Clock::system().now());
    let stage = Stage {
        args: &args,
        own: &own,
        input: &input,
        client: &client,
        place: &place,
        memory: &memory,
        screen,
    };
    let ended = tokio::select! {
        ended = stage.all_steps(&mut clock) => ended,
        () = &mut interrupted => Err(anyhow::anyhow!("interrupted; the server was told to stop")),
    };
    drop(memory);
    if let Err(error) = ended {
        let error = match server.obituary() {
            Some(obituary) => anyhow::anyhow!("{error:#}\n{obituary}"),
            None => error,
        };
        // The failure is the news, not how the server took its end.
        let _ = server.stop().await;
        return Err(error);
    }
    if args.keep {
        server.keep();
        summary::how_to_go_on(&home.keep(), &server.info.endpoint, server.process_id(), &place, screen);
        return Ok(());
    }
    server.stop().await
}

/// The data folder: the user's, or a temporary one that goes with the run unless it is kept.
enum DataHome {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataHome {
    fn of(given: Option<&Path>) -> anyhow::Result<Self> {
        Ok(match given {
            Some(given) => Self::Given(given.to_path_buf()),
            None => Self::Temporary(
                tempfile::Builder::new()
                    .prefix("sagebrush-quickstart-")
                    .tempdir()
                    .context("no temporary folder can be made")?,
            ),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Given(path) => path,
            Self::Temporary(folder) => folder.keep(),
        }
    }
}

/// How long each step took and how much memory it needed at most.
#[derive(Default)]
struct StepClock {
    steps: Vec<Step>,
}

impl StepClock {
    fn record(&mut self, name: &'static str, seconds: f64, peak_memory: Option<u64>) {
        self.steps.push(Step { name, seconds, peak_memory });
    }
}

/// What every step works with.
struct Stage<'a> {
    args: &'a QuickstartArgs,
    own: &'a [(String, String)],
    input: &'a Input,
    client: &'a Client,
    place: &'a Place,
    memory: &'a MemorySampler,
    screen: Screen,
}

impl Stage<'_> {
    async fn all_steps(&self, clock: &mut StepClock) -> anyhow::Result<()> {
        let Self { args, client, place, screen, .. } = self;
        let recipe = if args.chapter_settings { Recipe::Chapter } else { Recipe::Regularised };

        screen.heading(1, "upload to S3");
        self.timed(clock, "upload", self.upload()).await?;

        screen.heading(2, "prepare: SQL in a processing job");
        let prepared =
            self.timed(clock, "prepare", prepare::run(client, place, self.input, args, *screen)).await?;

        screen.heading(3, "train: Object2Vec in a training job");
        let training = train::run(client, place, &prepared, recipe, self.own, args.verbose, *screen);
        let trained = self.timed(clock, "train", training).await?;

        screen.heading(4, "deploy: model, endpoint configuration, endpoint");
        let deploying = deploy::run(client, place, &trained.artifact, *screen);
        let deployed = self.timed(clock, "deploy", deploying).await?;

        screen.heading(5, "evaluate: the whole test split through the endpoint");
        let evaluating = async {
            let splits = Splits::read(client, place, &prepared).await?;
            let (users, books) = (prepared.users, prepared.books);
            let evaluated = evaluate::run(client, &deployed.endpoint, &splits, users, books, *screen).await?;
            anyhow::Ok((splits, evaluated))
        };
        let (splits, evaluated) = self.timed(clock, "evaluate", evaluating).await?;

        screen.heading(6, "recommend");
        let user = args.recommend_for.as_deref();
        let choosing = recommend::run(client, place, &deployed.endpoint, &prepared, &splits, user, *screen);
        let recommended = self.timed(clock, "recommend", choosing).await?;

        screen.heading(7, "how long it took");
        summary::table(&clock.steps, &trained, recipe, self.memory, *screen);
        let curve = self.draw(&trained, &evaluated)?;
        let findings = Findings {
            input: self.input,
            recipe: recipe.name(),
            steps: &clock.steps,
            prepared: &prepared,
            trained: &trained,
            deployed: &deployed,
            evaluated: &evaluated,
            recommended: &recommended,
            curve: curve.as_deref(),
        };
        if let Some(file) = &args.report {
            report::write(file, &report::document(&findings, self.memory))?;
            screen.line(&format!("   report: {}", file.display()));
        }
        if !args.keep {
            deploy::take_down(client, &deployed).await?;
        }
        Ok(())
    }

    async fn timed<T>(
        &self,
        clock: &mut StepClock,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        let done = work.await?;
        clock.record(name, began.elapsed().as_secs_f64(), self.memory.end_step());
        Ok(done)
    }

    async fn upload(&self) -> anyhow::Result<()> {
        let Self { client, place, screen, input, .. } = self;
        client.make_bucket(&place.bucket).await?;
        let total = std::fs::metadata(&input.ratings).map_or(0, |file| file.len());
        let bar = screen.bar(total, "   upload {bar:32} {bytes} of {total_bytes}");
        let began = Instant::now();
        let key = place.key("input/ratings/ratings.csv");
        let sent = client.upload_file(&place.bucket, &key, &input.ratings, &|bytes| bar.inc(bytes)).await?;
        bar.finish_and_clear();
        let key = place.key("input/books/books.csv");
        match &input.books {
            Some(books) => client.upload_file(&place.bucket, &key, books, &|_| {}).await?,
            None => {
                // The script joins titles from a table of books; without one every book goes by its id.
                let header = Bytes::from_static(b"book_id,title\n");
                client.put_object(&place.bucket, &key, "text/csv", header).await?;
                0
            }
        };
        screen.line(&format!(
            "   ratings: {} in {} to {}",
            size(sent),
            spoken(began.elapsed().as_secs_f64()),
            place.uri("input/")
        ));
        Ok(())
    }

    fn draw(
        &self,
        trained: &train::Trained,
        evaluated: &evaluate::Evaluated,
    ) -> anyhow::Result<Option<PathBuf>> {
        let subtitle = format!(
            "{} training records; test MSE {:.4}",
            screen::thousands(trained.records),
            evaluated.object2vec
        );
        let title = "Object2Vec: error by epoch";
        let Some(picture) = curve::svg(&trained.epochs, trained.best_epoch, title, &subtitle) else {
            return Ok(None);
        };
        let file = self.args.curve_file();
        std::fs::write(&file, picture)
            .with_context(|| format!("the learning curve {} cannot be written", file.display()))?;
        self.screen.line(&format!("   learning curve: {}", file.display()));
        Ok(Some(file))
    }
}

/// Ends when the user presses Ctrl-C or the process is told to stop.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be watched")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
