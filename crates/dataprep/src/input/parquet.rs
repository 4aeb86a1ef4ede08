//! Parquet inputs: read in place, column by column, as queries need them.
//!
//! Promises: folders named `column=value` become columns of strings (where all file names end in `.parquet`); nothing
//! outside the root is opened, because the files are reached through the store that checks every path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

/// The usual end of a file's name.
const EXTENSION: &str = ".parquet";

/// A table over a Parquet file or a folder of them. `files` are the data files in it; with none, all are.
pub(crate) async fn open(
    path: &Path,
    files: &[PathBuf],
    context: &SessionContext,
) -> Result<ListingTable, DataFusionError> {
    let state = context.state();
    let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
    let mut options = ListingOptions::new(Arc::new(format)).with_file_extension("");
    let by_name = |file: &Path| file.to_string_lossy().ends_with(EXTENSION);
    let places = if path.is_dir() && files.iter().all(|file| by_name(file)) {
        let place = ListingTableUrl::parse(format!("{}/", path.display()))?;
        options = options.with_file_extension(EXTENSION);
        let columns = options.infer_partitions(&state, &place).await?;
        let columns = columns.into_iter().map(|name| (name, DataType::Utf8View)).collect();
        options = options.with_table_partition_cols(columns);
        vec![place]
    } else {
        let places = files.iter().map(|file| ListingTableUrl::parse(file.display().to_string()));
        places.collect::<Result<_, _>>()?
    };
    let config = ListingTableConfig::new_with_multi_paths(places)
        .with_listing_options(options)
        .infer_schema(&state)
        .await?;
    ListingTable::try_new(config)
}
