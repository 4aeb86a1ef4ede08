"""The core preparation in DuckDB: peer_duckdb.py RATINGS_CSV BOOKS_CSV OUT_PARQUET MIN_USER MIN_BOOK"""

import sys

import duckdb

ratings, books, out, min_user, min_book = sys.argv[1:]
db = duckdb.connect()
db.execute(f"CREATE TABLE ratings AS FROM read_csv('{ratings}', all_varchar = true, header = true)")
db.execute(f"CREATE TABLE books AS FROM read_csv('{books}', all_varchar = true, header = true)")
db.execute(
    f"""
    CREATE TABLE kept AS SELECT * FROM ratings
    WHERE user_id IN (SELECT user_id FROM ratings GROUP BY user_id HAVING count(*) >= {int(min_user)})
      AND book_id IN (SELECT book_id FROM ratings GROUP BY book_id HAVING count(*) >= {int(min_book)})
    """
)
db.execute(
    f"""
    COPY (
        WITH user_index AS (
            SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS user_ind
            FROM (SELECT DISTINCT user_id FROM kept)
        ),
        book_index AS (
            SELECT book_id, row_number() OVER (ORDER BY book_id) - 1 AS book_ind
            FROM (SELECT DISTINCT book_id FROM kept)
        )
        SELECT user_id, book_id, rating, title, user_ind, book_ind
        FROM kept JOIN books USING (book_id) JOIN user_index USING (user_id) JOIN book_index USING (book_id)
    ) TO '{out}' (FORMAT parquet)
    """
)
