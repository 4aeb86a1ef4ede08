"""The core preparation in Polars: peer_polars.py RATINGS_CSV BOOKS_CSV OUT_PARQUET MIN_USER MIN_BOOK"""

import sys

import polars as pl

ratings_csv, books_csv, out, min_user, min_book = sys.argv[1:]
ratings = pl.read_csv(ratings_csv, infer_schema=False)
books = pl.read_csv(books_csv, infer_schema=False)


def enough(column, least):
    counts = ratings.lazy().group_by(column).len()
    return counts.filter(pl.col("len") >= least).select(column)


def index(rows, column, name):
    return rows.lazy().select(column).unique().sort(column).with_row_index(name).with_columns(pl.col(name).cast(pl.Int64))


kept = (
    ratings.lazy()
    .join(enough("user_id", int(min_user)), on="user_id", how="semi")
    .join(enough("book_id", int(min_book)), on="book_id", how="semi")
    .collect()
)
result = (
    kept.lazy()
    .join(books.lazy(), on="book_id")
    .join(index(kept, "user_id", "user_ind"), on="user_id")
    .join(index(kept, "book_id", "book_ind"), on="book_id")
    .select("user_id", "book_id", "rating", "title", "user_ind", "book_ind")
    .collect()
)
result.write_parquet(out)
