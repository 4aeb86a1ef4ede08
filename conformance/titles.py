"""Titles of two kinds with word vectors that know the difference, and requests about them."""

import random

KINDS = {"garden": "rose tulip garden seed spring flower meadow orchard".split(),
         "sea": "ship harbour sailor storm anchor island tide captain".split()}


def books(count=60, seed=1):
    """Rows (id, title, kind); titles hold commas and quotes."""
    draw = random.Random(seed)
    for number in range(1, count + 1):
        kind = draw.choice(sorted(KINDS))
        first, second, third = draw.sample(KINDS[kind], 3)
        yield number, f'The "{first.title()}" and the {second}, {third}', kind


def csv(rows):
    quoted = lambda text: '"' + text.replace('"', '""') + '"'
    return "book_id,authors,title\n" + "".join(f"{number},Nobody,{quoted(title)}\n" for number, title, _ in rows)


def vectors(seed=2, dim=12):
    """Text as fastText writes it: words of one kind point the same way, about."""
    draw = random.Random(seed)
    lines = [f"{word} " + " ".join(f"{draw.gauss(0, .1):.5f}" for _ in range(dim)) for word in ("the", "and")]
    for place, kind in enumerate(sorted(KINDS)):
        for word in KINDS[kind]:
            numbers = [draw.gauss(0, .3) + (1 if column % 2 == place else 0) for column in range(dim)]
            lines.append(f"{word} " + " ".join(f"{number:.5f}" for number in numbers))
    return f"{len(lines)} {dim}\n" + "\n".join(lines) + "\n"


def channel(name, uri):
    return {"ChannelName": name, "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}}}


def training_job(name, bucket, image, channels, **hyperparameters):
    """The request of a training job with channels as name=uri."""
    return dict(
        TrainingJobName=name, RoleArn="arn:aws:iam::123456789012:role/conformance",
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        HyperParameters={key: str(value) for key, value in hyperparameters.items()},
        InputDataConfig=[channel(*pair) for pair in channels.items()],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 600})


def embed(endpoint, bucket, name, **hyperparameters):
    """Uploads titles and vectors and starts a training job over them."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=bucket, Key="books/books.csv", Body=csv(books()).encode())
    s3.put_object(Bucket=bucket, Key="vectors/words.vec", Body=vectors().encode())
    channels = {"train": f"s3://{bucket}/books/", "vectors": f"s3://{bucket}/vectors/"}
    endpoint.client("sagemaker").create_training_job(
        **training_job(name, bucket, "title_embedding", channels, **hyperparameters))
