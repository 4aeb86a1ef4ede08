//! Statements, each prepared once per connection.

use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::Result;

/// Carries out a statement; the number of rows it changed.
pub fn execute(connection: &Connection, sql: &str, parameters: impl Params) -> Result<usize> {
    Ok(connection.prepare_cached(sql)?.execute(parameters)?)
}

/// The one row of a query.
pub fn one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<T> {
    Ok(connection.prepare_cached(sql)?.query_row(parameters, read)?)
}

/// The first row of a query, when there is one.
pub fn optional<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(parameters, |row| Ok(read(row))).optional()?;
    found.transpose()
}

/// Every row of a query.
pub fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The text in a column, where it lies.
pub fn text<'r>(row: &'r Row<'_>, column: &str) -> Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|other| rusqlite::Error::from(other).into())
}
