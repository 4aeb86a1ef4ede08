//! ListMetrics.

use sagebrush_metastore::{MetricFilter, MetricSeries};
use sagebrush_types::{Failure, Outcome, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ControlPlane, failure, request};

/// Series in one page: AWS's documented size.
const PAGE: usize = 500;
/// What `RecentlyActive` means by its one value PT3H, milliseconds.
const RECENT: i64 = 3 * 3_600_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<DimensionFilter>,
    next_token: Option<String>,
    recently_active: Option<String>,
    /// There is one account, so no linked ones.
    #[serde(default, rename = "IncludeLinkedAccounts")]
    _include_linked_accounts: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DimensionFilter {
    name: String,
    value: Option<String>,
}

impl ControlPlane {
    /// ListMetrics.
    ///
    /// # Errors
    /// `Invalid` for a strange token.
    pub async fn list_metrics(&self, scope: &Scope, document: &Value) -> Outcome<Value> {
        let request: ListMetrics = request::decode("ListMetrics", document)?;
        let after = match &request.next_token {
            None => 0,
            Some(token) => {
                token.parse().map_err(|_| Failure::invalid("The value of parameter NextToken is invalid."))?
            }
        };
        let filter = MetricFilter {
            namespace: request.namespace,
            metric: request.metric_name,
            dimensions: request.dimensions.into_iter().map(|filter| (filter.name, filter.value)).collect(),
            active_since: request.recently_active.map(|_| self.now() - RECENT),
        };
        let found = self
            .store()
            .metric_series(&scope.region, &filter, after, PAGE + 1)
            .await
            .map_err(failure::of_metastore)?;
        let mut answer =
            json!({"Metrics": found.iter().take(PAGE).map(|(_, series)| shown(series)).collect::<Vec<_>>()});
        if found.len() > PAGE {
            answer["NextToken"] = json!(found[PAGE - 1].0.to_string());
        }
        Ok(answer)
    }
}

fn shown(series: &MetricSeries) -> Value {
    let dimensions: Vec<Value> =
        series.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({"Namespace": series.namespace, "MetricName": series.metric, "Dimensions": dimensions})
}
