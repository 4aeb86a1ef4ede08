-- The core of the chapter's preparation, as every engine here runs it: read, count, filter, index, join, write.
CREATE TABLE user_counts AS SELECT user_id, count(*) AS ratings FROM ratings GROUP BY user_id;
CREATE TABLE book_counts AS SELECT book_id, count(*) AS ratings FROM ratings GROUP BY book_id;

CREATE TABLE kept AS
SELECT user_id, book_id, rating FROM ratings
WHERE user_id IN (SELECT user_id FROM user_counts WHERE ratings >= ${min_user_ratings})
  AND book_id IN (SELECT book_id FROM book_counts WHERE ratings >= ${min_book_ratings});

CREATE TABLE user_index AS
SELECT user_id, CAST(row_number() OVER (ORDER BY user_id) AS BIGINT) - 1 AS user_ind FROM (SELECT DISTINCT user_id FROM kept);

CREATE TABLE book_index AS
SELECT book_id, CAST(row_number() OVER (ORDER BY book_id) AS BIGINT) - 1 AS book_ind FROM (SELECT DISTINCT book_id FROM kept);

COPY (
    SELECT kept.user_id, kept.book_id, rating, title, user_ind, book_ind
    FROM kept
    JOIN books ON kept.book_id = books.book_id
    JOIN user_index ON kept.user_id = user_index.user_id
    JOIN book_index ON kept.book_id = book_index.book_id
) TO '/opt/ml/processing/output/bookratings.parquet' STORED AS PARQUET;
