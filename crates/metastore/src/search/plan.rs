//! Which entries an expression can be satisfied by at all: spans of the index that hold every such
//! entry, and maybe others. The matcher decides.

use std::future::Future;
use std::pin::Pin;

use sqlx::{Row, SqliteConnection};

use super::facts::{Term, shortened};
use super::index::bind_term;
use super::matching::{FieldTest, Matcher};
use super::query::{Condition, Scalar};
use crate::Result;

/// Most spans that one expression is answered from; more make a plan of no use.
const SPANS: usize = 256;
/// Most distinct values of a property that a `Contains` is tried on one by one.
const DISTINCT: i64 = 256;

/// A run of terms of one field, both ends included.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The field.
    pub field: u32,
    /// The first value.
    pub low: Term,
    /// The last value.
    pub high: Term,
    /// Text that the values hold.
    pub part: Option<String>,
}

/// Spans that hold every entry an expression can be satisfied by, and how many entries they have,
/// counted up to a bound.
#[derive(Debug, Clone, Default)]
pub struct Cover {
    /// The spans; none when nothing can satisfy the expression.
    pub spans: Vec<Span>,
    /// Entries in them, at most `bound` for each span.
    pub count: usize,
}

const LEAST: Term = Term::Number(f64::NEG_INFINITY);
const GREATEST_NUMBER: Term = Term::Number(f64::INFINITY);
const LEAST_TEXT: Term = Term::Text(String::new());

/// The smallest cover of an expression, or `None` when only the whole index covers it. Counting
/// stops at `bound` entries a span.
pub fn cover<'a>(
    connection: &'a mut SqliteConnection,
    matcher: &'a Matcher,
    bound: usize,
) -> Pin<Box<dyn Future<Output = Result<Option<Cover>>> + Send + 'a>> {
    Box::pin(async move {
        match matcher {
            Matcher::Test(test) => of_test(connection, test, bound).await,
            Matcher::OneElement(_, tests) => {
                let mut best: Option<Cover> = None;
                for test in tests {
                    // That an element lacks something says nothing about the record.
                    best = smaller(best, of_test(connection, test, bound).await?);
                }
                Ok(best)
            }
            Matcher::All(parts) => {
                let mut best: Option<Cover> = None;
                for part in parts {
                    best = smaller(best, cover(connection, part, bound).await?);
                }
                Ok(best)
            }
            Matcher::Any(parts) => {
                let mut all = Cover::default();
                for part in parts {
                    let Some(part) = cover(connection, part, bound).await? else { return Ok(None) };
                    all.count += part.count;
                    all.spans.extend(part.spans);
                    if all.spans.len() > SPANS {
                        return Ok(None);
                    }
                }
                Ok(Some(all))
            }
        }
    })
}

fn smaller(best: Option<Cover>, other: Option<Cover>) -> Option<Cover> {
    match (best, other) {
        (Some(best), Some(other)) if other.count < best.count => Some(other),
        (None, other) => other,
        (best, _) => best,
    }
}

async fn of_test(connection: &mut SqliteConnection, test: &FieldTest, bound: usize) -> Result<Option<Cover>> {
    let positive = !matches!(test.condition, Condition::NotEquals(_) | Condition::NotExists);
    let Some(field) = test.field else {
        return Ok(positive.then(Cover::default));
    };
    let spans = match &test.condition {
        Condition::Contains(part) => contains(connection, field, part).await?,
        condition => spans(field, condition),
    };
    let Some(spans) = spans.filter(|spans| spans.len() <= SPANS) else { return Ok(None) };
    let mut cover = Cover::default();
    for span in spans {
        let count = count(connection, &span, bound).await?;
        if count > 0 {
            cover.count += count;
            cover.spans.push(span);
        }
    }
    Ok(Some(cover))
}

/// The spans that hold what a condition accepts; `None` for those that accept what is not there.
pub fn spans(field: u32, condition: &Condition) -> Option<Vec<Span>> {
    let span = |low: Term, high: Term| Span { field, low, high, part: None };
    let number = |scalar: &Scalar| scalar.number.map(Term::Number);
    let text = |scalar: &Scalar| Term::Text(shortened(&scalar.text).to_owned());
    let is = |scalar: &Scalar| {
        let numeric = number(scalar).map(|number| span(number.clone(), number));
        numeric.into_iter().chain([span(text(scalar), text(scalar))])
    };
    Some(match condition {
        Condition::Equals(scalar) => is(scalar).collect(),
        Condition::In(scalars) => scalars.iter().flat_map(is).collect(),
        Condition::Above(scalar) | Condition::AtLeast(scalar) => {
            let numeric = number(scalar).map(|number| span(number, GREATEST_NUMBER));
            numeric.into_iter().chain([span(text(scalar), Term::End)]).collect()
        }
        Condition::Below(scalar) | Condition::AtMost(scalar) => {
            let numeric = number(scalar).map(|number| span(LEAST, number));
            numeric.into_iter().chain([span(LEAST_TEXT, text(scalar))]).collect()
        }
        Condition::Exists => vec![span(LEAST, Term::End)],
        Condition::Contains(_) | Condition::NotEquals(_) | Condition::NotExists => return None,
    })
}

/// Spans for a text within: the values that hold it when there are few, else one over all of them.
/// Values that are numbers may be so only in the index, so a field with numbers is taken whole.
async fn contains(connection: &mut SqliteConnection, field: u32, part: &str) -> Result<Option<Vec<Span>>> {
    let numbers = Span { field, low: LEAST, high: GREATEST_NUMBER, part: None };
    if count(connection, &numbers, 1).await? > 0 {
        return Ok(Some(vec![Span { field, low: LEAST, high: Term::End, part: None }]));
    }
    let whole = Span { field, low: LEAST_TEXT, high: Term::End, part: Some(part.to_owned()) };
    let rows = sqlx::query(
        "WITH RECURSIVE found (value) AS (
            SELECT MIN(value) FROM search_terms WHERE field = $1
            UNION ALL
            SELECT (SELECT MIN(t.value) FROM search_terms t WHERE t.field = $1 AND t.value > found.value)
            FROM found WHERE found.value IS NOT NULL
         ) SELECT value FROM found WHERE value IS NOT NULL LIMIT $2",
    )
    .bind(field)
    .bind(DISTINCT + 1)
    .fetch_all(connection)
    .await?;
    if rows.len() as i64 > DISTINCT {
        return Ok(Some(vec![whole]));
    }
    let mut spans = Vec::new();
    for row in rows {
        let value: String = row.try_get_unchecked("value")?;
        // A value that was cut may hold the text behind the cut.
        if value.contains(part) || value.len() + 4 > super::facts::TERM_BYTES {
            spans.push(Span { field, low: Term::Text(value.clone()), high: Term::Text(value), part: None });
        }
    }
    Ok(Some(spans))
}

/// The terms of a span, as the end of a statement whose first four parameters are bound by
/// [`bind_span`].
pub const IN_SPAN: &str = "t.field = ?1 AND t.value >= ?2 AND t.value <= ?3
     AND (?4 IS NULL OR instr(t.value, ?4) > 0 OR length(CAST(t.value AS BLOB)) > 196)";

/// Binds a span's four parameters.
pub fn bind_span<'q>(
    query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    span: &Span,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let query = bind_term(query.bind(span.field), &span.low);
    bind_term(query, &span.high).bind(span.part.clone())
}

/// Entries in a span, counted up to `bound`.
pub async fn count(connection: &mut SqliteConnection, span: &Span, bound: usize) -> Result<usize> {
    let sql = format!("SELECT COUNT(*) AS n FROM (SELECT 1 FROM search_terms t WHERE {IN_SPAN} LIMIT ?5)");
    let query = bind_span(sqlx::query(sqlx::AssertSqlSafe(sql)), span);
    let row = query.bind(i64::try_from(bound).unwrap_or(i64::MAX)).fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i64, _>("n")?).unwrap_or_default())
}

/// The run of values of `field` outside of which no entry satisfies the expression: what an ordered
/// reading by that field may leave out. The whole field when nothing is known.
pub fn bounds(matcher: &Matcher, field: u32) -> (Term, Term, bool) {
    let mut bounds = (LEAST, Term::End, false);
    let tests: Vec<&Matcher> = match matcher {
        Matcher::All(parts) => parts.iter().collect(),
        other => vec![other],
    };
    for test in tests {
        let Matcher::Test(test) = test else { continue };
        if test.field != Some(field) {
            continue;
        }
        let Some(spans) = spans(field, &test.condition) else {
            // `Contains` says nothing of the order and still wants the property to be there.
            bounds.2 |= matches!(test.condition, Condition::Contains(_));
            continue;
        };
        bounds.2 = true;
        let low = spans.iter().map(|span| &span.low).reduce(|a, b| if b < a { b } else { a });
        let high = spans.iter().map(|span| &span.high).reduce(|a, b| if b > a { b } else { a });
        if let (Some(low), Some(high)) = (low, high) {
            if *low > bounds.0 {
                bounds.0 = low.clone();
            }
            if *high < bounds.1 {
                bounds.1 = high.clone();
            }
        }
    }
    bounds
}
