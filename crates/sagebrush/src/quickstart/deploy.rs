//! Step four: model, endpoint configuration and endpoint, until it is in service; and taking them down again.

use super::client::Client;
use super::place::Place;
use super::screen::{Screen, spoken};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);
/// Patience with an endpoint.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A live endpoint.
pub(super) struct Deployed {
    /// Its name.
    pub endpoint: String,
    /// Seconds from CreateEndpoint to InService, as the client saw it.
    pub in_service: f64,
    model: String,
    config: String,
}

/// Creates all three and waits until the endpoint serves.
pub(super) async fn run(
    client: &Client,
    place: &Place,
    artifact: &str,
    screen: Screen,
) -> anyhow::Result<Deployed> {
    let (model, config, endpoint) = (place.name("model"), place.name("config"), place.name("endpoint"));
    let request = json!({
        "ModelName": model,
        "ExecutionRoleArn": place.role(),
        "PrimaryContainer": { "Image": place.image("object2vec:1"), "ModelDataUrl": artifact },
    });
    client.sagemaker("CreateModel", &request).await?;
    let request = json!({
        "EndpointConfigName": config,
        "ProductionVariants": [{
            "VariantName": "AllTraffic",
            "ModelName": model,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m4.xlarge",
            "InitialVariantWeight": 1,
        }],
    });
    client.sagemaker("CreateEndpointConfig", &request).await?;
    let began = Instant::now();
    let request = json!({ "EndpointName": endpoint, "EndpointConfigName": config });
    client.sagemaker("CreateEndpoint", &request).await?;
    loop {
        let answer = client.sagemaker("DescribeEndpoint", &json!({ "EndpointName": endpoint })).await?;
        let status = answer
            .get("EndpointStatus")
            .and_then(Value::as_str)
            .context("DescribeEndpoint answered no EndpointStatus")?;
        match status {
            "InService" => break,
            "Creating" if began.elapsed() < TIMEOUT => tokio::time::sleep(PAUSE).await,
            "Creating" => bail!("the endpoint {endpoint} is not in service after {} s", TIMEOUT.as_secs()),
            other => {
                let reason = answer.get("FailureReason").and_then(Value::as_str);
                bail!("the endpoint {endpoint} is {other}: {}", reason.unwrap_or("no reason was given"));
            }
        }
    }
    let in_service = began.elapsed().as_secs_f64();
    screen.line(&format!("   endpoint {endpoint}: CreateEndpoint to InService {}", spoken(in_service)));
    Ok(Deployed { endpoint, in_service, model, config })
}

/// Deletes the endpoint, its configuration and the model.
pub(super) async fn take_down(client: &Client, deployed: &Deployed) -> anyhow::Result<()> {
    client.sagemaker("DeleteEndpoint", &json!({ "EndpointName": deployed.endpoint })).await?;
    client.sagemaker("DeleteEndpointConfig", &json!({ "EndpointConfigName": deployed.config })).await?;
    client.sagemaker("DeleteModel", &json!({ "ModelName": deployed.model })).await?;
    Ok(())
}
