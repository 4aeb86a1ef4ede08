//! Models, endpoint configurations and endpoints: the chain from a model's artifact to what answers.

use std::collections::BTreeSet;

use sagebrush_metastore::{NewRecord, Record, Write};
use sagebrush_types::{Outcome, Resource, Scope};
use serde_json::{Value, json};

use super::content::{Noted, named};
use crate::ControlPlane;
use crate::lineage::{CONTEXT, edge};
use crate::model::Serving;

/// The artifact that stands for a record: a name that is used again is another.
fn standing_for(arn: &str, created: i64, kind: &str, properties: Value) -> Noted {
    let mut noted = named(arn, kind, properties);
    noted.document["Source"]["SourceTypes"] =
        json!([{"SourceIdType": "Custom", "Value": created.to_string()}]);
    noted
}

fn of_model(record: &Record) -> Noted {
    standing_for(&record.arn, record.created, "SageMakerModel", json!({"ModelName": record.key.name}))
}

fn of_config(arn: &str, created: i64, name: &str) -> Noted {
    standing_for(arn, created, "EndpointConfig", json!({"EndpointConfigName": name}))
}

fn as_record(new: &NewRecord) -> Record {
    Record {
        key: new.key.clone(),
        arn: new.arn.clone(),
        status: new.status.clone(),
        created: new.created,
        modified: new.created,
        document: new.document.clone(),
    }
}

impl ControlPlane {
    /// What is written with a new model: it comes from its artifacts and its images.
    pub(crate) async fn tracked_model(&self, scope: &Scope, new: &NewRecord) -> Outcome<Vec<Write>> {
        let record = as_record(new);
        let noted = of_model(&record);
        let mut writes = vec![Write::Ensure(noted.record(self, scope))];
        let serving = Serving::kept(&Serving::document(&record))?;
        let (mut sources, mut images) = (Vec::new(), BTreeSet::new());
        for container in &serving.containers {
            if let Some(uri) = container.model_data_url.as_deref() {
                sources.extend(self.noted(uri, "Model").await);
            }
            // Two containers may have one image.
            let image = container.image.as_deref().filter(|image| images.insert((*image).to_owned()));
            if let Some(image) = image {
                let program = json!({"Program": concat!("sagebrush ", env!("CARGO_PKG_VERSION"))});
                sources.push(named(image, "Image", program));
            }
        }
        for source in &sources {
            writes.push(Write::Ensure(source.record(self, scope)));
            let (from, to) = (source.arn(scope), noted.arn(scope));
            writes.push(edge(&scope.region, &from, &to, "ContributedTo", self.now()));
        }
        Ok(writes)
    }

    /// What is written with a new endpoint configuration: it comes from its models.
    pub(crate) async fn tracked_config(&self, scope: &Scope, new: &NewRecord) -> Outcome<Vec<Write>> {
        let noted = of_config(&new.arn, new.created, &new.key.name);
        let mut writes = vec![Write::Ensure(noted.record(self, scope))];
        for variant in new.document["ProductionVariants"].as_array().into_iter().flatten() {
            let Some(name) = variant["ModelName"].as_str() else { continue };
            let model = of_model(&self.find(scope, Resource::Model, name).await?);
            writes.push(Write::Ensure(model.record(self, scope)));
            let (from, to) = (model.arn(scope), noted.arn(scope));
            writes.push(edge(&scope.region, &from, &to, "ContributedTo", self.now()));
        }
        Ok(writes)
    }

    /// What is written with an endpoint that gets a configuration: it comes from that.
    pub(crate) fn tracked_endpoint(
        &self,
        scope: &Scope,
        arn: &str,
        created: i64,
        name: &str,
        config: &Record,
    ) -> Vec<Write> {
        let noted = of_config(&config.arn, config.created, &config.key.name);
        let context = format!("{name}-{created}");
        let document = json!({
            "Source": {"SourceUri": arn, "SourceType": "ARN", "SourceId": created.to_string()},
            "ContextType": "Endpoint",
            "Properties": {"EndpointName": name},
        });
        let record = self.new_entity(scope, CONTEXT, &context, document, Vec::new());
        let (from, to) = (noted.arn(scope), record.arn.clone());
        vec![
            Write::Ensure(noted.record(self, scope)),
            Write::Ensure(record),
            edge(&scope.region, &from, &to, "ContributedTo", self.now()),
        ]
    }
}
