//! The metastore against a real file.

use sagebrush_env::SimulatedClock;
use sagebrush_types::Resource;
use serde_json::json;

use super::*;

fn key(name: &str) -> Key {
    Key { kind: Resource::TrainingJob, region: "us-east-1".into(), name: name.into() }
}

fn new(name: &str, status: &str, created: i64) -> NewRecord {
    NewRecord {
        key: key(name),
        arn: format!("arn:{name}"),
        status: status.into(),
        created,
        document: json!({"Name": name}),
        tags: vec![Tag { key: "project".into(), value: "books".into() }],
        workflow: Some("stage".into()),
    }
}

fn listing(sort_by: SortBy, order: Order) -> Listing {
    Listing {
        kind: Resource::TrainingJob,
        region: "us-east-1".into(),
        name_contains: None,
        status: None,
        created_after: None,
        created_before: None,
        modified_after: None,
        modified_before: None,
        sort_by,
        order,
        limit: 2,
        after: None,
    }
}

async fn store(folder: &Path) -> Metastore {
    let clock = SimulatedClock::at(5_000).clock();
    match Metastore::open(&folder.join("metadata.db"), clock).await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_record_lives_and_dies_with_its_tags_and_workflow() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    store.create(&new("a", "InProgress", 1)).await?;
    assert!(matches!(store.create(&new("a", "x", 2)).await, Err(MetastoreError::AlreadyExists(_))));
    assert_eq!(store.open_workflows().await?.len(), 1);
    let refused: std::result::Result<(), &str> = store
        .update(&key("a"), &WorkflowChange::End, |record| {
            record.status = "Completed".into();
            Err("no")
        })
        .await?;
    assert_eq!(refused, Err("no"));
    assert_eq!(store.get(&key("a")).await?.map(|record| record.status), Some("InProgress".into()));
    let done: std::result::Result<(), ()> = store
        .update(&key("a"), &WorkflowChange::End, |record| {
            record.status = "Completed".into();
            record.document["Done"] = json!(true);
            Ok(())
        })
        .await?;
    assert_eq!(done, Ok(()));
    drop(store);
    let store = self::store(folder.path()).await;
    let record = store.get(&key("a")).await?;
    assert_eq!(record.as_ref().map(|record| record.modified), Some(5_000));
    assert_eq!(record.map(|record| record.document), Some(json!({"Name": "a", "Done": true})));
    assert!(store.open_workflows().await?.is_empty());
    assert_eq!(store.tags("arn:a").await?.len(), 1);
    store.delete(&key("a")).await?;
    assert!(store.tags("arn:a").await?.is_empty());
    assert!(matches!(store.delete(&key("a")).await, Err(MetastoreError::NotFound(_))));
    Ok(())
}

#[tokio::test]
async fn pages_cover_every_record_once_in_every_order() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    for (index, name) in ["d", "b", "a", "c", "e"].iter().enumerate() {
        // Two records share each creation time: the name must break the tie.
        store
            .create(&new(name, if index % 2 == 0 { "Completed" } else { "Failed" }, index as i64 / 2))
            .await?;
    }
    for sort_by in [SortBy::Name, SortBy::Created, SortBy::Status, SortBy::Modified] {
        for order in [Order::Ascending, Order::Descending] {
            let mut listing = listing(sort_by, order);
            let mut names = Vec::new();
            loop {
                let page = store.list(&listing).await?;
                names.extend(page.records.into_iter().map(|record| record.key.name));
                listing.after = page.next;
                if listing.after.is_none() {
                    break;
                }
            }
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(sorted, ["a", "b", "c", "d", "e"], "{sort_by:?} {order:?}");
            if sort_by == SortBy::Created && order == Order::Descending {
                assert_eq!(names, ["e", "c", "a", "d", "b"]);
            }
        }
    }
    let filtered = Listing { status: Some("Failed".into()), ..listing(SortBy::Name, Order::Ascending) };
    let page = store.list(&filtered).await?;
    assert_eq!(page.records.iter().map(|record| record.key.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert!(page.next.is_none());
    Ok(())
}

#[tokio::test]
async fn log_lines_keep_their_order_and_pages() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    let line = |at: i64| LogLine { at, message: format!("line {at}") };
    store.append_log("r", "g", "s", &[line(1), line(2)]).await?;
    store.append_log("r", "g", "s", &[line(3)]).await?;
    let events = store.log_events("r", "g", "s", Direction::From(1), 0..i64::MAX, 10).await?;
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
    let events = store.log_events("r", "g", "s", Direction::Before(2), 0..i64::MAX, 1).await?;
    assert_eq!(events[0].message, "line 2");
    let streams = store.log_streams("r", "g", "s", "", 10).await?;
    assert_eq!((streams[0].lines, streams[0].first_event, streams[0].last_event), (3, Some(1), Some(3)));
    assert!(store.has_log_group("r", "g").await?);
    assert!(!store.has_log_group("other", "g").await?);
    let groups = store.log_groups("r", "", false, "", 10).await?;
    assert_eq!((groups.len(), groups[0].bytes), (1, 18));
    for order in [StreamOrder::Name, StreamOrder::LastEvent] {
        for (descending, after, found) in [(false, None, 1), (true, None, 1), (false, Some((3, "s")), 0)] {
            let page = StreamPage { order, descending, prefix: "", after, limit: 5 };
            assert_eq!(store.list_log_streams("r", "g", &page).await?.len(), found, "{page:?}");
        }
    }
    let searched = store.log_streams_within("r", "g", "", (3, 9), 10).await?;
    let events = store.log_events_after(searched[0].id, (2, 1), 9, 10).await?;
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [3]);
    assert!(store.log_streams_within("r", "g", "", (4, 9), 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn deleted_logs_are_gone_and_their_names_are_free() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    let line = |at: i64| LogLine { at, message: format!("line {at}") };
    assert!(store.create_log_group("r", "g").await?);
    assert!(!store.create_log_group("r", "g").await?);
    assert_eq!(store.create_log_stream("r", "g", "s").await?, Some(true));
    assert_eq!(store.create_log_stream("r", "g", "s").await?, Some(false));
    assert_eq!(store.create_log_stream("r", "other", "s").await?, None);
    assert!(store.append_log_to("r", "g", "s", &[line(5), line(6)], 2).await?);
    assert!(!store.append_log_to("r", "g", "s", &[line(7)], 2).await?);
    assert!(!store.append_log_to("r", "g", "t", &[line(7)], 2).await?);
    assert!(store.delete_log_stream("r", "g", "s").await?);
    assert!(!store.delete_log_stream("r", "g", "s").await?);
    assert_eq!(store.create_log_stream("r", "g", "s").await?, Some(true));
    assert!(store.log_events("r", "g", "s", Direction::From(0), 0..i64::MAX, 10).await?.is_empty());
    assert!(store.delete_log_group("r", "g").await?);
    assert!(!store.has_log_group("r", "g").await?);
    let left: i64 = store.readers.look(|connection| {
        database::one(connection, "SELECT COUNT(*) FROM log_events", (), |row| row.get(0))
    })?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn metric_points_are_read_by_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    let series = MetricSeries {
        namespace: "n".into(),
        metric: "m".into(),
        dimensions: [("Job".to_owned(), "a".to_owned())].into(),
    };
    let point = |at: i64, value: f64| (series.clone(), MetricPoint { at, value });
    store.append_metrics("r", &[point(1, 1.0), point(2, 2.0), point(3, f64::NAN)]).await?;
    store.append_metrics("r", &[point(2, 4.0)]).await?;
    let points = store.metric_points("r", &series, 2..10, 100).await?;
    assert_eq!(points.iter().map(|point| point.value).collect::<Vec<_>>(), [2.0, 4.0]);
    let filter = |namespace: &str, job: Option<&str>, active_since| MetricFilter {
        namespace: Some(namespace.into()),
        dimensions: vec![("Job".into(), job.map(str::to_owned))],
        active_since,
        ..MetricFilter::default()
    };
    for (filter, found) in [
        (filter("n", None, None), 1),
        (filter("n", Some("a"), Some(2)), 1),
        (filter("n", Some("b"), None), 0),
        (filter("n", None, Some(3)), 0),
        (filter("other", None, None), 0),
    ] {
        assert_eq!(store.metric_series("r", &filter, 0, 10).await?.len(), found, "{filter:?}");
    }
    Ok(())
}

#[tokio::test]
async fn measurements_are_summarised_by_period_and_unit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    let series = MetricSeries { namespace: "n".into(), metric: "m".into(), dimensions: [].into() };
    let of = |at: i64, unit: &str, samples: &[(f64, f64)]| {
        let sum = samples.iter().map(|(value, count)| value * count).sum();
        let values = || samples.iter().map(|(value, _)| *value);
        let datum = MetricDatum {
            at,
            unit: unit.into(),
            count: samples.iter().map(|(_, count)| count).sum(),
            sum,
            minimum: values().fold(f64::INFINITY, f64::min),
            maximum: values().fold(f64::NEG_INFINITY, f64::max),
            samples: samples.to_vec(),
        };
        (series.clone(), datum)
    };
    let data = [
        of(0, "Count", &[(1.0, 2.0), (4.0, 1.0)]),
        of(59, "Bytes", &[(8.0, 1.0)]),
        of(60, "Count", &[(3.0, 1.0)]),
    ];
    assert!(!store.put_metrics("r", &data, 0).await?);
    assert!(store.put_metrics("r", &data, 1).await?);
    let what = |unit| Measured { series: &series, times: (0, 100), unit };
    let periods = |by_unit, descending| Periods { length: 60, by_unit, descending, offset: 0, limit: 10 };
    let all = store.metric_periods("r", &what(None), periods(false, true)).await?;
    let shown: Vec<_> =
        all.iter().map(|row| (row.start, row.count, row.sum, row.minimum, row.maximum)).collect();
    assert_eq!(shown, [(60, 1.0, 3.0, 3.0, 3.0), (0, 4.0, 14.0, 1.0, 8.0)]);
    let units = store.metric_periods("r", &what(None), periods(true, false)).await?;
    assert_eq!(units.iter().map(|row| row.unit.as_str()).collect::<Vec<_>>(), ["Bytes", "Count", "Count"]);
    assert_eq!(store.metric_periods("r", &what(Some("Bytes")), periods(true, false)).await?.len(), 1);
    let samples = store.metric_samples("r", &what(Some("Count")), 10).await?;
    assert_eq!(samples[0].values, [(1.0, 2.0), (4.0, 1.0)]);
    assert_eq!(samples[1].values, [(3.0, 1.0)]);
    Ok(())
}

/// Changes that share a transaction: one that fails, or panics, takes nothing of the others with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_hurts_no_other_of_its_batch() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    store.create(&new("taken", "Completed", 1)).await?;
    let mut tasks = Vec::new();
    for at in 0..60 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let own = new(&format!("job-{at}"), "InProgress", at);
            match at % 3 {
                // The first write is undone with the second, which fails.
                0 => store.write(&[Write::Create(own), Write::Create(new("taken", "x", 2))]).await,
                1 => store.create(&own).await,
                _ => {
                    store.create(&own).await?;
                    let refused: std::result::Result<(), ()> =
                        store.update(&own.key, &WorkflowChange::End, |_| panic!("as a caller may")).await?;
                    assert_eq!(refused, Ok(()));
                    Ok(())
                }
            }
        }));
    }
    for (task, at) in tasks.into_iter().zip(0..) {
        match at % 3 {
            0 => assert!(matches!(task.await, Ok(Err(MetastoreError::AlreadyExists(_))))),
            1 => assert!(matches!(task.await, Ok(Ok(())))),
            _ => assert!(task.await.is_err_and(|error| error.is_panic())),
        }
    }
    store.close().await;
    let store = self::store(folder.path()).await;
    for at in 0..60 {
        let record = store.get(&key(&format!("job-{at}"))).await?;
        assert_eq!(record.is_some(), at % 3 != 0, "job-{at}");
    }
    assert_eq!(store.count_open_workflows(Resource::TrainingJob).await?, 41);
    Ok(())
}

#[tokio::test]
async fn a_closed_store_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    store.close().await;
    assert!(matches!(store.create(&new("a", "x", 1)).await, Err(MetastoreError::Closed)));
    assert!(matches!(store.get(&key("a")).await, Err(MetastoreError::Closed)));
    assert!(matches!(store.all(Resource::Model).await, Err(MetastoreError::Closed)));
    Ok(())
}

#[tokio::test]
async fn a_newer_file_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await;
    store.writer.change_blocking(|connection| Ok(connection.pragma_update(None, "user_version", 99)?))?;
    store.close().await;
    let reopened = Metastore::open(&folder.path().join("metadata.db"), Clock::system()).await;
    assert!(matches!(reopened, Err(MetastoreError::NewerSchema { found: 99, .. })));
    Ok(())
}
