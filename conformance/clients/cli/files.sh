#!/usr/bin/env bash
# The AWS CLI: S3 high-level commands, a presigned URL, and a look at a training job and its log.
# Needs: AWS (the program), and JOB (a training job that ended).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bucket=cli-files

"$AWS" sts get-caller-identity --query Account --output text
"$AWS" s3 mb "s3://$bucket"
head -c 20000000 /dev/urandom > "$work/big"
"$AWS" s3 cp "$work/big" "s3://$bucket/in/big" --no-progress
"$AWS" s3 cp "s3://$bucket/in/big" "$work/back" --no-progress
cmp "$work/big" "$work/back"
echo streamed | "$AWS" s3 cp - "s3://$bucket/in/stdin"
[ "$("$AWS" s3 cp "s3://$bucket/in/stdin" -)" = streamed ]
mkdir "$work/folder"
for name in one two three; do echo "$name" > "$work/folder/$name"; done
"$AWS" s3 sync "$work/folder" "s3://$bucket/sync" --no-progress
rm "$work/folder/two"
"$AWS" s3 sync "$work/folder" "s3://$bucket/sync" --delete --no-progress
[ "$("$AWS" s3 ls "s3://$bucket/sync/" | wc -l)" = 2 ]
[ "$("$AWS" s3 ls "s3://$bucket" --recursive | wc -l)" = 4 ]
[ "$(curl --silent --fail "$("$AWS" s3 presign "s3://$bucket/sync/one")")" = one ]
"$AWS" s3 rb "s3://$bucket" --force

"$AWS" sagemaker wait training-job-completed-or-stopped --training-job-name "$JOB"
[ "$("$AWS" sagemaker describe-training-job --training-job-name "$JOB" --query TrainingJobStatus --output text)" = Completed ]
"$AWS" sagemaker list-training-jobs --name-contains "$JOB" --query 'TrainingJobSummaries[].TrainingJobName' --output text | grep "$JOB"
"$AWS" logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --log-stream-name-prefix "$JOB/" --filter-pattern quality_metric --query "events[].message" --output text | grep -q train
[ "$("$AWS" cloudwatch list-metrics --namespace /aws/sagemaker/TrainingJobs --query 'length(Metrics)')" -gt 0 ]
echo done
