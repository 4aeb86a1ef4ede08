"""pandas, pyarrow and s3fs on s3:// paths, as a notebook uses them."""

import os

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import s3fs

BUCKET = "s3fs-files"
frame = pd.DataFrame({"user": range(1000), "rating": [number % 5 + 1.0 for number in range(1000)]})

files = s3fs.S3FileSystem()
files.mkdir(BUCKET)
root = f"{BUCKET}/ratings.parquet"
for part in range(3):
    table = pa.Table.from_pandas(frame[part * 400:(part + 1) * 400], preserve_index=False)
    pq.write_table(table, f"{root}/part-{part:05d}.snappy.parquet", filesystem=files)
assert len(files.ls(root)) == 3
assert pq.ParquetDataset(root, filesystem=files).read().num_rows == len(frame)
assert pd.read_parquet(f"s3://{root}").rating.mean() == frame.rating.mean()

frame.to_csv(f"s3://{BUCKET}/a.csv", index=False)
assert len(pd.read_csv(f"s3://{BUCKET}/a.csv")) == len(frame)
files.mv(f"{BUCKET}/a.csv", f"{BUCKET}/b.csv")
assert files.exists(f"{BUCKET}/b.csv") and not files.exists(f"{BUCKET}/a.csv")

big = os.urandom(60 << 20)
with files.open(f"{BUCKET}/big", "wb") as out:
    out.write(big)
with files.open(f"{BUCKET}/big", "rb") as source:
    source.seek(12_345_678)
    assert source.read(10) == big[12_345_678:12_345_688]

host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
native = pyarrow.fs.S3FileSystem(endpoint_override=host, scheme="http", region="us-east-1")
assert pq.read_table(root, filesystem=native).num_rows == len(frame)
with native.open_output_stream(f"{BUCKET}/native") as out:
    out.write(b"n" * 1000)
assert native.get_file_info(f"{BUCKET}/native").size == 1000

files.rm(BUCKET, recursive=True)
assert not files.exists(BUCKET)
print("done")
