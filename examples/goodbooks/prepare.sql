-- From raw ratings to what training and serving need.
--
-- Inputs:  ratings (columns ${user_column}, ${item_column}, ${rating_column}) and books (book_id, title).
-- Values:  user_column, item_column, rating_column, min_user_ratings, min_book_ratings, seed.
-- Outputs: bookratings/ (Parquet, by split), train/, validation/ and test/ (records for Object2Vec),
--          users/ and books/ (which index stands for whom), summary/ and quantiles/ (what happened to the data).
--
-- Ids are text, so indexes follow the order of text: "1", "10", "100", "2".

-- Ratings with all three values present, under names of our own.
CREATE VIEW complete AS
SELECT CAST("${user_column}" AS VARCHAR) AS user_id,
       CAST("${item_column}" AS VARCHAR) AS book_id,
       CAST("${rating_column}" AS VARCHAR) AS rating
FROM ratings
WHERE "${user_column}" IS NOT NULL AND "${item_column}" IS NOT NULL AND "${rating_column}" IS NOT NULL;

CREATE TABLE user_counts AS SELECT user_id, count(*) AS ratings FROM complete GROUP BY user_id;
CREATE TABLE book_counts AS SELECT book_id, count(*) AS ratings FROM complete GROUP BY book_id;

-- Quantiles of both counts: the value at rank ceil(n * q), so that every one is a count that occurs.
CREATE VIEW quantiles AS
WITH counts AS (
    SELECT 'user' AS entity, ratings FROM user_counts
    UNION ALL
    SELECT 'book' AS entity, ratings FROM book_counts
),
ranked AS (
    SELECT entity, ratings,
           row_number() OVER (PARTITION BY entity ORDER BY ratings) AS place,
           count(*) OVER (PARTITION BY entity) AS total
    FROM counts
),
wanted AS (SELECT column1 AS quantile FROM (VALUES (0.0), (0.25), (0.5), (0.75), (0.9), (0.95), (1.0)))
SELECT entity, quantile, ratings AS count
FROM ranked JOIN wanted ON place = CAST(greatest(ceil(total * quantile), 1) AS BIGINT);

SELECT entity, quantile, count FROM quantiles ORDER BY entity DESC, quantile;

-- Users and books with enough ratings; both are counted on the whole data.
CREATE TABLE of_kept_users AS
SELECT user_id, book_id, rating FROM complete
WHERE user_id IN (SELECT user_id FROM user_counts WHERE ratings >= ${min_user_ratings});

CREATE TABLE kept AS
SELECT user_id, book_id, rating FROM of_kept_users
WHERE book_id IN (SELECT book_id FROM book_counts WHERE ratings >= ${min_book_ratings});

SELECT ensure(count(*) >= 10, 'fewer than 10 ratings are left: lower min_user_ratings or min_book_ratings') AS enough, count(*) AS ratings
FROM kept;

CREATE TABLE user_index AS
SELECT user_id, CAST(row_number() OVER (ORDER BY user_id) AS BIGINT) - 1 AS user_ind FROM (SELECT DISTINCT user_id FROM kept);

CREATE TABLE book_index AS
WITH titles AS (
    SELECT CAST(book_id AS VARCHAR) AS book_id, min(title) AS title FROM books GROUP BY 1
),
numbered AS (
    SELECT book_id, CAST(row_number() OVER (ORDER BY book_id) AS BIGINT) - 1 AS book_ind FROM (SELECT DISTINCT book_id FROM kept)
)
SELECT numbered.book_id, book_ind, coalesce(title, concat('book ', numbered.book_id)) AS title
FROM numbered LEFT JOIN titles ON numbered.book_id = titles.book_id;

-- A shuffle that depends on the seed and the ids only, and 80, 10 and 10 percent of it.
CREATE TABLE placed AS
SELECT kept.user_id, kept.book_id, rating, title, user_ind, book_ind,
       CAST(row_number() OVER (
           ORDER BY seeded_random(${seed}, kept.user_id, kept.book_id), kept.user_id, kept.book_id, rating
       ) AS BIGINT) AS place
FROM kept
JOIN user_index ON kept.user_id = user_index.user_id
JOIN book_index ON kept.book_id = book_index.book_id;

CREATE TABLE rated AS
WITH size AS (SELECT count(*) AS total FROM placed)
SELECT placed.*,
       CASE WHEN place <= (total * 8 + 5) / 10 THEN 'train'
            WHEN place <= (total * 8 + 5) / 10 + (total + 5) / 10 THEN 'validation'
            ELSE 'test' END AS split
FROM placed CROSS JOIN size;

CREATE VIEW summary AS
SELECT 1 AS number, 'input' AS step, (SELECT count(*) FROM ratings) AS ratings,
       (SELECT count(*) FROM user_counts) AS users, (SELECT count(*) FROM book_counts) AS books
UNION ALL
SELECT 2, 'users kept', count(*), count(DISTINCT user_id), count(DISTINCT book_id) FROM of_kept_users
UNION ALL
SELECT 3, 'books kept', count(*), count(DISTINCT user_id), count(DISTINCT book_id) FROM kept
UNION ALL
SELECT 4, 'joined', count(*), count(DISTINCT user_ind), count(DISTINCT book_ind) FROM rated
UNION ALL
SELECT 5, 'train', count(*), count(DISTINCT user_ind), count(DISTINCT book_ind) FROM rated WHERE split = 'train'
UNION ALL
SELECT 6, 'validation', count(*), count(DISTINCT user_ind), count(DISTINCT book_ind) FROM rated WHERE split = 'validation'
UNION ALL
SELECT 7, 'test', count(*), count(DISTINCT user_ind), count(DISTINCT book_ind) FROM rated WHERE split = 'test';

COPY (SELECT user_id, book_id, rating, title, user_ind, book_ind, split FROM rated)
TO '/opt/ml/processing/output/bookratings' STORED AS PARQUET PARTITIONED BY (split);

COPY (SELECT make_array(user_ind) AS in0, make_array(book_ind) AS in1, CAST(rating AS DOUBLE) AS label
      FROM rated WHERE split = 'train' ORDER BY place)
TO '/opt/ml/processing/output/train/train.jsonl' STORED AS JSON;

COPY (SELECT make_array(user_ind) AS in0, make_array(book_ind) AS in1, CAST(rating AS DOUBLE) AS label
      FROM rated WHERE split = 'validation' ORDER BY place)
TO '/opt/ml/processing/output/validation/validation.jsonl' STORED AS JSON;

COPY (SELECT make_array(user_ind) AS in0, make_array(book_ind) AS in1, CAST(rating AS DOUBLE) AS label
      FROM rated WHERE split = 'test' ORDER BY place)
TO '/opt/ml/processing/output/test/test.jsonl' STORED AS JSON;

COPY (SELECT user_ind, user_id FROM user_index ORDER BY user_ind)
TO '/opt/ml/processing/output/users/users.jsonl' STORED AS JSON;

COPY (SELECT book_ind, book_id, title FROM book_index ORDER BY book_ind)
TO '/opt/ml/processing/output/books/books.jsonl' STORED AS JSON;

COPY (SELECT entity, quantile, count FROM quantiles ORDER BY entity DESC, quantile)
TO '/opt/ml/processing/output/quantiles/quantiles.jsonl' STORED AS JSON;

COPY (SELECT step, ratings, users, books FROM summary ORDER BY number)
TO '/opt/ml/processing/output/summary/summary.jsonl' STORED AS JSON;

SELECT step, ratings, users, books FROM summary ORDER BY number;
