//! Step seven: the time and memory of every step beside what the book reports for AWS, and how to go on.

use super::memory::MemorySampler;
use super::place::Place;
use super::recipe::Recipe;
use super::report::Step;
use super::screen::{Screen, Table, rounded, size, spoken, thousands};
use super::train::Trained;
use std::path::Path;

/// What the book reports of its run on AWS: 841,039 training records, nine epochs on 16 vCPU.
const BOOK: [(&str, &str); 2] = [("train", "95 min billed, 9 epochs, 16 vCPU"), ("deploy", "7 min 31 s")];
/// The book's training records and its rate in the first and the last epoch, from its log.
const BOOK_RECORDS: u64 = 841_039;
const BOOK_RATES: (f64, f64) = (1_535.0, 1_151.0);

/// The table of steps, and rates that can be compared although the data differ.
pub(super) fn table(
    steps: &[Step],
    trained: &Trained,
    recipe: Recipe,
    memory: &MemorySampler,
    screen: Screen,
) {
    let mut table = Table::new(&["step", ">time", ">peak memory", "the book, on AWS"]);
    let memory_of = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    for step in steps {
        let book = BOOK.iter().find(|(name, _)| *name == step.name).map_or("", |(_, text)| text);
        table.row(vec![
            step.name.to_owned(),
            spoken(step.seconds),
            memory_of(step.peak_memory),
            book.to_owned(),
        ]);
    }
    let total: f64 = steps.iter().map(|step| step.seconds).sum();
    table.row(vec!["all".to_owned(), spoken(total), memory_of(memory.peak()), String::new()]);
    screen.table(&table);
    screen.note("memory: the server and all its child processes together");
    let rates: Vec<f64> = trained.epochs.iter().filter_map(|epoch| epoch.records_per_second).collect();
    if let (Some(first), Some(last)) = (rates.first(), rates.last()) {
        screen.line(&format!(
            "   training: {} epochs of {} records, {} records/s at first, {} at last",
            trained.epochs.len(),
            thousands(trained.records),
            rounded(*first),
            rounded(*last),
        ));
        screen.line(&format!(
            "   the book: 9 epochs of {} records, {} records/s at first, {} at last",
            thousands(BOOK_RECORDS),
            rounded(BOOK_RATES.0),
            rounded(BOOK_RATES.1),
        ));
        if recipe != Recipe::Chapter {
            screen.note("the book trains a larger network; --chapter-settings does so here");
        }
    }
}

/// The address of the server that goes on, and what to type next.
pub(super) fn how_to_go_on(data_dir: &Path, endpoint: &str, process: u32, place: &Place, screen: Screen) {
    let live = place.name("endpoint");
    // The commands may be typed in another folder.
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    screen.line("");
    screen.line(&screen.bold(&format!("The server goes on at {endpoint} (process {process}).")));
    let commands = [
        format!("eval \"$(sagebrush env --data-dir {})\"", data_dir.display()),
        "aws sagemaker list-training-jobs".to_owned(),
        format!("aws s3 ls {} --recursive", place.uri("")),
        format!(
            "printf '{{\"in0\":[0],\"in1\":[0]}}' | aws sagemaker-runtime invoke-endpoint --endpoint-name {live} \\"
        ),
        "    --content-type application/jsonlines --body fileb:///dev/stdin /dev/stdout".to_owned(),
        format!("kill {process}    # stops the server; its data stay in {}", data_dir.display()),
    ];
    for command in commands {
        screen.line(&format!("   {command}"));
    }
}
