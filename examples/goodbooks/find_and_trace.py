"""Which run was the best, and what is the endpoint made of? The chapter's search and lineage steps with boto3.

    eval "$(sagebrush env)"
    python workflow.py --ratings ratings.csv --books books.csv --keep
    python find_and_trace.py [ENDPOINT]

Without ENDPOINT the newest is taken. Nothing needs to be recorded by hand: every job, model and endpoint tells what it was
made of.
"""

import sys

import boto3

METRIC = "validation:mean_squared_error"

sagemaker = boto3.client("sagemaker")


def best_jobs(count):
    """The finished Object2Vec jobs with the smallest error on validation."""
    found = sagemaker.search(
        Resource="TrainingJob",
        SearchExpression={"Filters": [
            {"Name": "AlgorithmSpecification.TrainingImage", "Operator": "Contains", "Value": "object2vec"},
            {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": "Completed"},
            {"Name": f"Metrics.{METRIC}", "Operator": "Exists"}]},
        SortBy=f"Metrics.{METRIC}", SortOrder="Ascending", MaxResults=count)
    return [result["TrainingJob"] for result in found["Results"]]


def job_behind(endpoint):
    """The chapter's walk: endpoint, configuration, model, artifact, and the job that made it."""
    configuration = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"][0]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    artifact = model["PrimaryContainer"]["ModelDataUrl"]
    found = sagemaker.search(Resource="TrainingJob", SearchExpression={"Filters": [
        {"Name": "ModelArtifacts.S3ModelArtifacts", "Operator": "Equals", "Value": artifact}]})
    return [configuration, variant["ModelName"], artifact], [one["TrainingJob"] for one in found["Results"]]


def lineage_of(endpoint):
    """Everything the endpoint came from, nearest first, as (type, what)."""
    arn = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    context = sagemaker.list_contexts(SourceUri=arn, ContextType="Endpoint")["ContextSummaries"][0]["ContextArn"]
    vertices, token = [], {}
    while token is not None:
        page = sagemaker.query_lineage(StartArns=[context], Direction="Ascendants", **token)
        vertices += page["Vertices"]
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
    for vertex in vertices:
        if vertex["LineageType"] == "Artifact":
            shown = sagemaker.describe_artifact(ArtifactArn=vertex["Arn"])
            content = shown.get("Properties", {}).get("ContentHash", "")
            yield vertex["Type"], f"{shown['Source']['SourceUri']}  {content[:12]}"
        else:
            yield vertex["Type"], vertex["Arn"].rsplit("/", 1)[1]


def main():
    endpoint = sys.argv[1] if len(sys.argv) > 1 else None
    if endpoint is None:
        newest = sagemaker.list_endpoints(SortBy="CreationTime", SortOrder="Descending", MaxResults=1)["Endpoints"]
        if not newest:
            sys.exit("no endpoint: run workflow.py with --keep first")
        endpoint = newest[0]["EndpointName"]
    print("best runs")
    for job in best_jobs(5):
        value = next(one["Value"] for one in job["FinalMetricDataList"] if one["MetricName"] == METRIC)
        print(f"  {value:.4f}  {job['TrainingJobName']}  enc_dim={job['HyperParameters'].get('enc_dim')}")
    steps, jobs = job_behind(endpoint)
    print(f"\nbehind {endpoint}: " + " <- ".join(steps + [job["TrainingJobName"] for job in jobs]))
    print("\nlineage")
    for kind, what in lineage_of(endpoint):
        print(f"  {kind:<24}{what}")


if __name__ == "__main__":
    main()
