//! The command line of the quickstart.

use super::input::Columns;
use super::recipe::parse_own;
use std::path::PathBuf;

/// The whole workflow with one command: prepare, train, deploy, evaluate, recommend.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct QuickstartArgs {
    /// Ratings as CSV with a header; without it data is generated in the shape of goodbooks-10k.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sample", "download"])]
    pub ratings: Option<PathBuf>,
    /// Books as CSV with the columns book_id and title; without it books go by their id.
    #[arg(long, value_name = "FILE", requires = "ratings")]
    pub books: Option<PathBuf>,
    /// The ratings file's column names: user=NAME,item=NAME,rating=NAME.
    #[arg(long, value_name = "NAMES", requires = "ratings")]
    pub columns: Option<Columns>,
    /// Leave out users with fewer ratings [default: the chapter's 130; for generated data what fits it].
    #[arg(long, value_name = "N")]
    pub min_user_ratings: Option<u32>,
    /// Leave out books with fewer ratings [default: the chapter's 1200; for generated data what fits it].
    #[arg(long, value_name = "N")]
    pub min_book_ratings: Option<u32>,
    /// Generate a small data set that is done in about a minute.
    #[arg(long, conflicts_with = "download")]
    pub sample: bool,
    /// Fetch the real goodbooks-10k (CC BY-SA 4.0) from its public home and check its SHA-256.
    #[arg(long)]
    pub download: bool,
    /// Where the downloaded files are kept.
    #[arg(long, value_name = "DIR", default_value = "goodbooks-10k")]
    pub download_dir: PathBuf,
    /// The server's data folder [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Train with the chapter's own settings instead of the regularised ones.
    #[arg(long)]
    pub chapter_settings: bool,
    /// Set one hyperparameter of the training job; may be repeated.
    #[arg(long = "hyperparameter", value_name = "NAME=VALUE")]
    pub hyperparameters: Vec<String>,
    /// Seed of the shuffle before the split.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Recommend for this user of the ratings file [default: the one with the most ratings].
    #[arg(long, value_name = "USER")]
    pub recommend_for: Option<String>,
    /// Write what was found as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where the learning curve goes [default: learning-curve.svg beside the report or in this folder].
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Leave the server and its endpoint running, and say how to go on.
    #[arg(long)]
    pub keep: bool,
    /// Show every line of the jobs' logs.
    #[arg(long)]
    pub verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  sagebrush quickstart --sample
      a small generated data set, done in about a minute
  sagebrush quickstart
      generated data of goodbooks-10k's size: 5,976,479 ratings
  sagebrush quickstart --download --keep
      the real data set; the endpoint stays up for you to call
  sagebrush quickstart --ratings ratings.csv --books books.csv \\
      --columns user=user_id,item=book_id,rating=rating \\
      --min-user-ratings 20 --min-book-ratings 20 --report report.json
      your own data";

impl QuickstartArgs {
    /// The user's own hyperparameters, in the order given.
    pub(super) fn own_hyperparameters(&self) -> anyhow::Result<Vec<(String, String)>> {
        self.hyperparameters.iter().map(|text| parse_own(text)).collect()
    }

    /// Where the learning curve is written.
    pub(super) fn curve_file(&self) -> PathBuf {
        let beside = || self.report.as_ref().map(|report| report.with_file_name("learning-curve.svg"));
        self.plot.clone().or_else(beside).unwrap_or_else(|| PathBuf::from("learning-curve.svg"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: QuickstartArgs,
    }

    fn parse(line: &str) -> Result<QuickstartArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("quickstart").chain(line.split_whitespace()))
            .map(|line| line.args)
    }

    #[test]
    fn the_curve_lies_beside_the_report_unless_told() {
        let curve = |line: &str| parse(line).expect("well-formed").curve_file();
        assert_eq!(curve(""), PathBuf::from("learning-curve.svg"));
        assert_eq!(curve("--report out/r.json"), PathBuf::from("out/learning-curve.svg"));
        assert_eq!(curve("--report out/r.json --plot p.svg"), PathBuf::from("p.svg"));
    }

    #[test]
    fn sources_exclude_each_other() {
        for line in
            ["--ratings r.csv --sample", "--ratings r.csv --download", "--sample --download", "--books b.csv"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let args = parse("--ratings r.csv --columns user=u --hyperparameter epochs=3").expect("well-formed");
        assert_eq!(args.columns.map(|columns| columns.user).as_deref(), Some("u"));
        assert!(parse("--ratings r.csv --columns who=u").is_err());
    }
}
