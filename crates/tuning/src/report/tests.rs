use super::*;
use crate::space::{Parameter, Range, Scaling, Value};

fn report(jobs: Vec<Job>) -> Report {
    let space = Space::new(vec![
        Parameter {
            name: "learning_rate".into(),
            range: Range::Continuous { min: 1e-4, max: 0.1, scaling: Scaling::Logarithmic },
        },
        Parameter {
            name: "layers".into(),
            range: Range::Integer { min: 1, max: 3, scaling: Scaling::Linear },
        },
        Parameter {
            name: "kind".into(),
            range: Range::Categorical { values: vec!["<a>".into(), "b, c".into()] },
        },
    ])
    .unwrap();
    let section =
        Section { name: None, metric: "validation:mse".into(), direction: Direction::Minimize, space, jobs };
    Report {
        title: "my & job".into(),
        facts: vec![("Strategy".into(), "Bayesian".into())],
        sections: vec![section],
    }
}

fn jobs(count: usize) -> Vec<Job> {
    (0..count)
        .map(|index| Job {
            name: format!("job-{index}"),
            status: if index == 2 { "Failed" } else { "Completed" }.into(),
            setting: vec![
                Value::Number(1e-4 * 1.4f64.powi(index as i32)),
                Value::Integer(1 + index as i64 % 3),
                Value::Text(if index % 2 == 0 { "<a>" } else { "b, c" }.into()),
            ],
            objective: (index != 2).then(|| 1.0 / (1.0 + index as f64)),
            seconds: Some(1.5),
        })
        .collect()
}

/// Every element that is opened is closed, in order.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in page.split('<').skip(1) {
        let tag = part.split('>').next().unwrap_or_default();
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
        if tag.starts_with('!') || tag.ends_with('/') || ["meta"].contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "at </{name}>");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_whole_with_any_number_of_jobs() {
    for count in [0, 1, 2, 3, 12] {
        let page = report(jobs(count)).html();
        well_formed(&page);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{count}");
        assert!(page.contains("my &amp; job") && !page.contains("<a>"));
    }
    let page = report(jobs(12)).html();
    // Progress, importance, one a parameter, parallel coordinates.
    assert_eq!(page.matches("<svg").count(), 6);
    assert!(page.contains("job-11") && page.contains("Bayesian"));
}

#[test]
fn equal_objectives_and_missing_ones_are_drawn() {
    let mut same = jobs(4);
    same.iter_mut().for_each(|job| job.objective = Some(2.0));
    well_formed(&report(same).html());
    let mut none = jobs(4);
    none.iter_mut().for_each(|job| job.objective = None);
    well_formed(&report(none).html());
}

#[test]
fn the_table_quotes_what_needs_it() {
    let csv = report(jobs(3)).csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "job,status,objective,learning_rate,layers,kind,seconds");
    assert_eq!(lines[1], "job-0,Completed,1,0.0001,1,<a>,1.5");
    assert_eq!(lines[2], "job-1,Completed,0.5,0.00014,2,\"b, c\",1.5");
    assert!(lines[3].starts_with("job-2,Failed,,"));
}

#[test]
fn labels_are_short() {
    let shown: Vec<String> = [0.0, 1.0, 0.72631234, 1234567.0, 0.00001234, -2.5, 140.0].map(short).into();
    assert_eq!(shown, ["0", "1", "0.72631", "1.23e6", "1.23e-5", "-2.5", "140"]);
}
