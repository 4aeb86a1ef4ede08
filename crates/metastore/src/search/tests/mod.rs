//! The index against a naive filter over the documents, which knows nothing of facts or terms.

mod runs;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sagebrush_env::SimulatedClock;
use sagebrush_types::Resource;
use serde_json::{Map, Value, json};

use super::facts::{self, Fact, FactValue, number_in};
use super::*;
use crate::{Key, NewRecord, Order, WorkflowChange};

const RULES: IndexRules = IndexRules {
    enabled: true,
    version: 7,
    named_lists: &[NamedList { list: "Finals", name: "Name", value: Some("Value"), prefix: "Metrics" }],
    wrapped: &[("Wrapped", &["Number", "Text"])],
    numeric_text: &["Hyper."],
    labels: "Tags",
    created: "CreationTime",
    modified: "LastModifiedTime",
};
static RULES_OF_TESTS: IndexRules = RULES;
const PATHS: &[&str] = &[
    "Name",
    "Hyper.a",
    "Hyper.b",
    "Hyper.word",
    "Metrics.loss",
    "Metrics.rate",
    "Tags.team",
    "Tags.none",
    "Inputs.Uri",
    "Inputs.Mode",
    "Wrapped.lr",
    "Nested.Deep.Value",
    "Flag",
    "CreationTime",
    "History.Step",
    "Unheard.Of",
];
const WORDS: &[&str] =
    &["alpha", "beta", "alphabet", "10", "9", "0.5", "-3", "1e1", "", "ärger", "true", "s3://b/x"];

type Draw<'a> = &'a mut TestRunner;

fn pick<'w>(draw: Draw<'_>, words: &[&'w str]) -> &'w str {
    words[number(draw, words.len())]
}

fn number(draw: Draw<'_>, below: usize) -> usize {
    (0..below).new_tree(draw).map(|tree| tree.current()).unwrap_or_default()
}

fn document(draw: Draw<'_>, name: &str) -> Value {
    let mut document = json!({"Name": name, "CreationTime": number(draw, 40) as f64 / 4.0});
    for member in ["Hyper", "Nested", "Wrapped", "Finals", "Inputs", "Flag", "History"] {
        if number(draw, 5) == 0 {
            continue;
        }
        document[member] = match member {
            "Hyper" => {
                let mut members = Map::new();
                for name in ["a", "b", "word"] {
                    if number(draw, 4) > 0 {
                        members.insert(name.into(), json!(pick(draw, WORDS)));
                    }
                }
                members.into()
            }
            "Nested" => json!({"Deep": {"Value": number(draw, 6)}, "_internal": "alpha"}),
            "Wrapped" => match number(draw, 2) {
                0 => json!({"lr": {"Number": number(draw, 9) as f64 / 2.0}}),
                _ => json!({"lr": {"Text": pick(draw, WORDS)}}),
            },
            "Finals" => json!([
                {"Name": "loss", "Value": number(draw, 12) as f64 / 3.0, "At": 5},
                {"Name": "rate", "Value": number(draw, 5) as f64 - 2.0},
            ]),
            "Inputs" => (0..number(draw, 4))
                .map(|_| json!({"Uri": pick(draw, WORDS), "Mode": pick(draw, &["File", "Pipe"])}))
                .collect(),
            "Flag" => json!(number(draw, 2) == 0),
            _ => json!([{"Step": "alpha"}]),
        };
    }
    document
}

/// The values of a path, each with its place in a list, read off the document.
fn values(record: &NewRecord, path: &str) -> Vec<(usize, Value)> {
    let document = &record.document;
    if let Some(tag) = path.strip_prefix("Tags.") {
        let tags = record.tags.iter().filter(|candidate| candidate.key == tag);
        return tags.map(|tag| (0, json!(tag.value))).collect();
    }
    if let Some(metric) = path.strip_prefix("Metrics.") {
        let finals = document["Finals"].as_array().cloned().unwrap_or_default();
        let named = finals.iter().filter(|element| element["Name"] == metric);
        return named.map(|element| (0, element["Value"].clone())).collect();
    }
    let found = match path {
        "Inputs.Uri" | "Inputs.Mode" | "History.Step" => {
            let (list, member) = path.split_once('.').unwrap_or_default();
            let elements = document[list].as_array().cloned().unwrap_or_default();
            return elements
                .iter()
                .enumerate()
                .map(|(at, element)| (at + 1, element[member].clone()))
                .collect();
        }
        "Wrapped.lr" => {
            let inner = &document["Wrapped"]["lr"];
            inner.get("Number").or_else(|| inner.get("Text")).cloned().unwrap_or_default()
        }
        path => path.split('.').fold(document.clone(), |value, member| value[member].clone()),
    };
    if found.is_null() { Vec::new() } else { vec![(0, found)] }
}

fn compared(path: &str, value: &Value, scalar: &Scalar) -> Option<std::cmp::Ordering> {
    let number =
        value.as_f64().or_else(|| value.as_str().filter(|_| path.starts_with("Hyper.")).and_then(number_in));
    match number {
        Some(number) => number.partial_cmp(&scalar.number?),
        None => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(text.cmp(&scalar.text))
        }
    }
}

fn passes(record: &NewRecord, test: &Test, item: Option<usize>) -> bool {
    let all = values(record, &test.path);
    let mut values = all.iter().filter(|(at, _)| item.is_none_or(|item| item == *at)).map(|(_, value)| value);
    let compare = |value: &Value, scalar: &Scalar| compared(&test.path, value, scalar);
    match &test.condition {
        Condition::Exists => values.next().is_some(),
        Condition::NotExists => values.next().is_none(),
        Condition::Equals(scalar) => values.any(|value| compare(value, scalar).is_some_and(|is| is.is_eq())),
        Condition::NotEquals(scalar) => {
            !values.any(|value| compare(value, scalar).is_some_and(|is| is.is_eq()))
        }
        Condition::Above(scalar) => values.any(|value| compare(value, scalar).is_some_and(|is| is.is_gt())),
        Condition::AtLeast(scalar) => values.any(|value| compare(value, scalar).is_some_and(|is| is.is_ge())),
        Condition::Below(scalar) => values.any(|value| compare(value, scalar).is_some_and(|is| is.is_lt())),
        Condition::AtMost(scalar) => values.any(|value| compare(value, scalar).is_some_and(|is| is.is_le())),
        Condition::In(scalars) => values
            .any(|value| scalars.iter().any(|scalar| compare(value, scalar).is_some_and(|is| is.is_eq()))),
        Condition::Contains(part) => values.any(|value| match value {
            Value::Number(_) => false,
            Value::String(text) => text.contains(part),
            other => other.to_string().contains(part),
        }),
    }
}

fn satisfies(record: &NewRecord, expression: &Expression) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| satisfies(record, part)),
        Expression::Any(parts) => parts.iter().any(|part| satisfies(record, part)),
        Expression::Test(test) => passes(record, test, None),
        Expression::OneElement(list, tests) => {
            let count = record.document[list].as_array().map_or(0, Vec::len);
            (1..=count).any(|item| tests.iter().all(|test| passes(record, test, Some(item))))
        }
    }
}

fn test(draw: Draw<'_>, paths: &[&str]) -> Test {
    let scalar = |draw: Draw<'_>| Scalar::of(pick(draw, WORDS));
    let condition = match number(draw, 10) {
        0 => Condition::Equals(scalar(draw)),
        1 => Condition::NotEquals(scalar(draw)),
        2 => Condition::Above(scalar(draw)),
        3 => Condition::AtLeast(scalar(draw)),
        4 => Condition::Below(scalar(draw)),
        5 => Condition::AtMost(scalar(draw)),
        6 => Condition::Contains(pick(draw, &["a", "alpha", "1", ".", "rue"]).into()),
        7 => Condition::Exists,
        8 => Condition::NotExists,
        _ => Condition::In((0..3).map(|_| scalar(draw)).collect()),
    };
    Test { path: pick(draw, paths).into(), condition }
}

fn expression(draw: Draw<'_>, depth: usize) -> Expression {
    match number(draw, if depth == 0 { 4 } else { 8 }) {
        0..=2 => Expression::Test(test(draw, PATHS)),
        3 => {
            let count = 1 + number(draw, 2);
            let tests = (0..count).map(|_| test(draw, &["Inputs.Uri", "Inputs.Mode"])).collect();
            Expression::OneElement("Inputs".into(), tests)
        }
        4 | 5 => Expression::All((0..1 + number(draw, 3)).map(|_| expression(draw, depth - 1)).collect()),
        _ => Expression::Any((0..1 + number(draw, 3)).map(|_| expression(draw, depth - 1)).collect()),
    }
}

fn key(name: &str) -> Key {
    Key { kind: Resource::TrainingJob, region: "r".into(), name: name.into() }
}

async fn store(folder: &Path, costs: Costs) -> Metastore {
    let clock = SimulatedClock::at(5_000).clock();
    let mut store = match Metastore::open_indexed(&folder.join("m.db"), clock, &RULES_OF_TESTS).await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    };
    if let Some(index) = Arc::get_mut(&mut store.index) {
        index.costs = costs;
    }
    store
}

/// Records that were created, changed, tagged and deleted, some of them with terms and some
/// pending; the same in memory.
async fn filled(store: &Metastore, draw: Draw<'_>, count: usize) -> Result<Vec<NewRecord>> {
    let mut kept: Vec<NewRecord> = Vec::new();
    for at in 0..count {
        let name = format!("job-{at}");
        let tags = match number(draw, 3) {
            0 => vec![Tag { key: "team".into(), value: pick(draw, WORDS).into() }],
            _ => Vec::new(),
        };
        let document = document(draw, &name);
        let new = NewRecord {
            key: key(&name),
            arn: format!("arn:{name}"),
            status: String::new(),
            created: number(draw, 50) as i64,
            document,
            tags,
            workflow: None,
        };
        store.create(&new).await?;
        kept.push(new);
        // Often enough that runs are merged, and with entries of older runs changed and gone.
        if number(draw, 5) == 0 {
            store.settle(1)?;
        }
        let victim = number(draw, kept.len());
        match number(draw, 4) {
            0 => {
                let replacement = self::document(draw, &kept[victim].key.name);
                let changed = replacement.clone();
                let done: std::result::Result<(), ()> = store
                    .update(&kept[victim].key, &WorkflowChange::Keep, |record| {
                        record.document = changed;
                        Ok(())
                    })
                    .await?;
                assert_eq!(done, Ok(()));
                kept[victim].document = replacement;
            }
            1 => {
                let tags = vec![Tag { key: "team".into(), value: pick(draw, WORDS).into() }];
                store.put_tags(&kept[victim].arn, &tags).await?;
                kept[victim].tags = tags;
            }
            2 if number(draw, 5) == 0 => {
                let gone = kept.remove(victim);
                store.delete(&gone.key).await?;
            }
            _ => {}
        }
    }
    Ok(kept)
}

async fn pages(store: &Metastore, query: &Query) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut query = query.clone();
    loop {
        let found = store.search(&query).await?;
        names.extend(found.records.iter().map(|(record, _)| record.key.name.clone()));
        match found.next {
            Some(next) => query.after = Some(next),
            None => return Ok(names),
        }
        assert!(found.records.len() == query.limit, "a page that is not the last is full");
    }
}

fn rank(record: &NewRecord, path: &str, order: Order) -> Option<Term> {
    let terms = values(record, path).into_iter().map(|(_, value)| match value {
        Value::Number(number) => Term::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => match number_in(&text).filter(|_| path.starts_with("Hyper.")) {
            Some(number) => Term::Number(number),
            None => Term::Text(text),
        },
        other => Term::Text(other.to_string()),
    });
    terms.reduce(|best, term| if (term < best) == (order == Order::Ascending) { term } else { best })
}

/// `rounds` random searches on `count` random records, against the naive filter.
async fn compare(rounds: usize, count: usize, costs: Costs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut runner = TestRunner::deterministic();
    let store = store(folder.path(), costs).await;
    let records = filled(&store, &mut runner, count).await?;
    let mut hits = 0;
    for round in 0..rounds {
        let expression = expression(&mut runner, 2);
        let order = if number(&mut runner, 2) == 0 { Order::Ascending } else { Order::Descending };
        let by = pick(&mut runner, PATHS);
        let sort = match number(&mut runner, 4) {
            0 => SortKey::Created,
            1 => SortKey::Modified,
            _ if by == "CreationTime" => SortKey::Created,
            _ => SortKey::Property(by.into()),
        };
        let query = Query {
            kind: Resource::TrainingJob,
            region: "r".into(),
            expression: expression.clone(),
            sort: sort.clone(),
            order,
            limit: 1 + number(&mut runner, 40),
            after: None,
        };
        let found = pages(&store, &query).await?;
        let matching: Vec<&NewRecord> =
            records.iter().filter(|record| satisfies(record, &expression)).collect();
        let mut expected: Vec<&str> = matching.iter().map(|record| record.key.name.as_str()).collect();
        let mut sorted: Vec<&str> = found.iter().map(String::as_str).collect();
        expected.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "round {round}: {expression:?} by {sort:?}");
        hits += expected.len();
        if let SortKey::Property(path) = &sort {
            let ranks: Vec<Option<Term>> = found
                .iter()
                .filter_map(|name| matching.iter().find(|record| record.key.name == *name))
                .map(|record| rank(record, path, order))
                .collect();
            let sorted = ranks.windows(2).all(|pair| match (&pair[0], &pair[1]) {
                (Some(left), Some(right)) if order == Order::Ascending => left <= right,
                (Some(left), Some(right)) => left >= right,
                (None, Some(_)) => false,
                _ => true,
            });
            assert!(sorted, "round {round}: {path} {order:?}: {ranks:?}");
        }
    }
    assert!(hits > rounds, "the expressions match something");
    Ok(())
}

#[tokio::test]
async fn small_sets_are_collected_as_a_naive_filter_finds_them() -> Result<()> {
    compare(5_000, 120, COSTS).await
}

#[tokio::test]
async fn ordered_reading_finds_what_a_naive_filter_finds() -> Result<()> {
    // Costs so small that every way is taken: collecting, reading in order, and giving that up.
    compare(5_000, 120, Costs { counted: 12, patience: 500 }).await
}

#[tokio::test]
async fn an_index_of_other_rules_is_made_anew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("m.db");
    let mut runner = TestRunner::deterministic();
    let plain = Metastore::open(&path, SimulatedClock::at(5_000).clock()).await?;
    let records = filled(&plain, &mut runner, 30).await?;
    plain.close().await;
    let store = store(folder.path(), COSTS).await;
    let query = Query {
        kind: Resource::TrainingJob,
        region: "r".into(),
        expression: Expression::Test(Test { path: "Metrics.loss".into(), condition: Condition::Exists }),
        sort: SortKey::Created,
        order: Order::Ascending,
        limit: 100,
        after: None,
    };
    let expected = records.iter().filter(|record| !record.document["Finals"].is_null()).count();
    assert!(expected > 0);
    assert_eq!(store.search(&query).await?.records.len(), expected);
    assert_eq!(
        store.property_paths(Resource::TrainingJob, "r", "metrics.", 10).await?,
        ["Metrics.loss", "Metrics.rate"]
    );
    Ok(())
}

proptest! {
    #[test]
    fn facts_survive_their_encoding(
        facts in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<bool>(), 0..3, -1e9..1e9, ".{0,300}"), 0..20)
    ) {
        let facts: Vec<Fact> = facts
            .into_iter()
            .map(|(field, item, label, kind, number, text)| Fact {
                field,
                item,
                label,
                value: match kind {
                    0 => FactValue::Number(number),
                    1 => FactValue::NumberText(number, text),
                    _ => FactValue::Text(text),
                },
            })
            .collect();
        prop_assert_eq!(facts::decode(&facts::encode(&facts)), Some(facts));
    }

    #[test]
    fn strange_bytes_are_no_facts_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = facts::decode(&bytes);
    }
}
