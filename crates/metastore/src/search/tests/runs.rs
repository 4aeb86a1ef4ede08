//! Runs that are written, merged and out of date.

use super::super::runs;
use super::*;

/// A job with a tag of each generation that it has seen; found by the last alone.
#[tokio::test]
async fn terms_of_runs_that_were_merged_are_found_once_and_old_ones_never() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path(), COSTS).await;
    let count = 70;
    for at in 0..count {
        let name = format!("job-{at}");
        let document = json!({"Name": name, "Generation": "0", "Hyper": {"a": at.to_string()}});
        let (arn, status) = (format!("arn:{name}"), String::new());
        let key = key(&name);
        store
            .create(&NewRecord { key, arn, status, created: at, document, tags: vec![], workflow: None })
            .await?;
        store.settle(1)?;
        // Every third job is changed much later, every tenth deleted, when their runs have been merged.
        if at >= 30 && at % 3 == 0 {
            let late = self::key(&format!("job-{}", at - 30));
            let done: std::result::Result<(), ()> = store
                .update(&late, &WorkflowChange::Keep, |record| {
                    record.document["Generation"] = json!("1");
                    Ok(())
                })
                .await?;
            assert_eq!(done, Ok(()));
        }
        if at >= 40 && at % 10 == 0 {
            store.delete(&self::key(&format!("job-{}", at - 40))).await?;
        }
    }
    store.settle(1)?;
    let levels: Vec<i64> = store.readers.look(|connection| {
        all(connection, "SELECT level FROM search_runs WHERE target IS NULL", (), |row| Ok(row.get(0)?))
    })?;
    assert!(levels.contains(&2) && levels.len() < 20, "{levels:?}");
    let query = |generation: &str| Query {
        kind: Resource::TrainingJob,
        region: "r".into(),
        expression: Expression::Test(Test {
            path: "Generation".into(),
            condition: Condition::Equals(Scalar::of(generation)),
        }),
        sort: SortKey::Property("Hyper.a".into()),
        order: Order::Ascending,
        limit: 7,
        after: None,
    };
    let deleted = |at: i64| at % 10 == 0 && at + 40 < count;
    let changed = |at: i64| at % 3 == 0 && at + 30 < count;
    for (generation, of) in [("0", false), ("1", true)] {
        let expected = (0..count).filter(|at| !deleted(*at) && changed(*at) == of);
        let expected: Vec<String> = expected.map(|at| format!("job-{at}")).collect();
        assert_eq!(pages(&store, &query(generation)).await?, expected, "generation {generation}");
    }
    Ok(())
}

#[tokio::test]
async fn a_merge_that_was_cut_short_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path(), COSTS).await;
    for at in 0..8 {
        let name = format!("job-{at}");
        let document = json!({"Name": name, "Hyper": {"a": at.to_string()}});
        let (arn, key) = (format!("arn:{name}"), key(&name));
        let status = String::new();
        store
            .create(&NewRecord { key, arn, status, created: at, document, tags: vec![], workflow: None })
            .await?;
        store.settle_some()?;
    }
    let merge = store.next_merge()?.unwrap_or_else(|| panic!("eight runs are enough"));
    let field = |connection: &Connection| index::field(connection, Resource::TrainingJob, "r", "Name");
    let field = store.readers.look(field)?.unwrap_or_else(|| panic!("jobs have names"));
    store.merge_field(&merge, field.id)?;
    assert_eq!(store.readers.look(runs::live)?.len(), 9);
    store.close().await;
    let store = self::store(folder.path(), COSTS).await;
    store.settle(1)?;
    assert_eq!(store.readers.look(runs::live)?.len(), 1);
    let query = Query {
        kind: Resource::TrainingJob,
        region: "r".into(),
        expression: Expression::Test(Test { path: "Name".into(), condition: Condition::Exists }),
        sort: SortKey::Property("Name".into()),
        order: Order::Descending,
        limit: 3,
        after: None,
    };
    let names: Vec<String> = (0..8).rev().map(|at| format!("job-{at}")).collect();
    assert_eq!(pages(&store, &query).await?, names);
    let by_number = Query { sort: SortKey::Property("Hyper.a".into()), ..query };
    assert_eq!(pages(&store, &by_number).await?, names);
    Ok(())
}
