//! `sagebrush trace`: what an endpoint came from, down to the raw data, as a client of a running
//! server. Everything shown was recorded by the server itself or by the user's own lineage calls.

mod chart;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::data_dir::{read_credentials, read_server_info};
use crate::quickstart::client::Client;

/// Options of `sagebrush trace`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  sagebrush trace goodbooks                          the chain as a tree
  sagebrush trace goodbooks --svg lineage.svg        and as a picture
  sagebrush trace goodbooks --json                   vertices and edges for a program")]
pub struct TraceArgs {
    /// Name of the endpoint, or the ARN of any artifact, action, context or trial component.
    endpoint: String,
    /// Also draw the chain into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print vertices and edges as JSON instead of a tree.
    #[arg(long)]
    json: bool,
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Region of the endpoint; the server's own when it is not given.
    #[arg(long)]
    region: Option<String>,
}

/// One entity of the chain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vertex {
    /// What it is, such as `TrainingJob`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// More about it, such as a content hash.
    pub detail: String,
}

/// The chain: entities by ARN, and what each came from.
#[derive(Debug, Default)]
pub struct Chain {
    /// The entity that was asked for.
    pub root: String,
    /// Entities by ARN.
    pub vertices: BTreeMap<String, Vertex>,
    /// For each entity those that it came from.
    pub sources: BTreeMap<String, BTreeSet<String>>,
}

/// Carries the command out.
pub async fn run(args: TraceArgs) -> anyhow::Result<()> {
    let info = read_server_info(&args.data_dir)?;
    let region = args.region.as_deref().unwrap_or(&info.region);
    let client = Client::new(&info.endpoint, region, read_credentials(&args.data_dir)?)?;
    let chain = chain(&client, &args.endpoint).await?;
    if let Some(path) = &args.svg {
        std::fs::write(path, chart::draw(&chain))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&chain))?);
    } else {
        print!("{}", tree::draw(&chain));
    }
    Ok(())
}

async fn chain(client: &Client, asked: &str) -> anyhow::Result<Chain> {
    let root = if asked.starts_with("arn:") && !asked.contains(":endpoint/") {
        asked.to_owned()
    } else {
        context_of(client, asked.rsplit('/').next().unwrap_or(asked)).await?
    };
    let mut chain = Chain { root: root.clone(), ..Chain::default() };
    // One step at a time, so that the way from each entity to its sources is known.
    let mut request = json!({"Direction": "Ascendants", "MaxDepth": 1, "IncludeEdges": false});
    let mut open = vec![root];
    let mut seen = BTreeSet::new();
    while let Some(arn) = open.pop() {
        if !seen.insert(arn.clone()) {
            continue;
        }
        chain.vertices.insert(arn.clone(), describe(client, &arn).await?);
        request["StartArns"] = json!([arn]);
        if let Some(members) = request.as_object_mut() {
            members.remove("NextToken");
        }
        loop {
            let page = client.sagemaker("QueryLineage", &request).await?;
            for source in page["Vertices"].as_array().into_iter().flatten() {
                let source = source["Arn"].as_str().unwrap_or_default().to_owned();
                chain.sources.entry(arn.clone()).or_default().insert(source.clone());
                open.push(source);
            }
            match page.get("NextToken") {
                Some(token) => request["NextToken"] = token.clone(),
                None => break,
            }
        }
    }
    Ok(chain)
}

/// The context of an endpoint of that name, the newest when the name was used again.
async fn context_of(client: &Client, name: &str) -> anyhow::Result<String> {
    let endpoint = client.sagemaker("DescribeEndpoint", &json!({"EndpointName": name})).await?;
    let request = json!({
        "SourceUri": endpoint["EndpointArn"],
        "ContextType": "Endpoint",
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 1,
    });
    let contexts = client.sagemaker("ListContexts", &request).await?;
    let arn = contexts["ContextSummaries"][0]["ContextArn"].as_str();
    match arn {
        Some(arn) => Ok(arn.to_owned()),
        None => bail!("the endpoint {name} was made before this server recorded lineage"),
    }
}

async fn describe(client: &Client, arn: &str) -> anyhow::Result<Vertex> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = arn.rsplit('/').next().unwrap_or(arn);
    if arn.contains(":artifact/") {
        let shown = client.sagemaker("DescribeArtifact", &json!({"ArtifactArn": arn})).await?;
        let properties = &shown["Properties"];
        let uri = text(&shown["Source"]["SourceUri"]);
        let called = ["ModelName", "EndpointConfigName"].iter().find_map(|name| properties[*name].as_str());
        let detail = match properties["ContentHash"].as_str() {
            Some(hash) => format!("content {}", hash.chars().take(12).collect::<String>()),
            None => String::new(),
        };
        let name = called.map_or(uri, str::to_owned);
        return Ok(Vertex { kind: text(&shown["ArtifactType"]), name, detail });
    }
    if arn.contains(":context/") {
        let shown = client.sagemaker("DescribeContext", &json!({"ContextName": arn})).await?;
        let called = shown["Properties"]["EndpointName"].as_str().unwrap_or(name).to_owned();
        return Ok(Vertex { kind: text(&shown["ContextType"]), name: called, detail: String::new() });
    }
    if arn.contains(":action/") {
        let shown = client.sagemaker("DescribeAction", &json!({"ActionName": arn})).await?;
        return Ok(Vertex { kind: text(&shown["ActionType"]), name: name.to_owned(), detail: String::new() });
    }
    let shown = client.sagemaker("DescribeTrialComponent", &json!({"TrialComponentName": arn})).await?;
    let source = text(&shown["Source"]["SourceArn"]);
    let kind = text(&shown["Source"]["SourceType"]);
    let called = source.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(name);
    Ok(Vertex {
        kind: if kind.is_empty() {
            "TrialComponent".into()
        } else {
            kind.trim_start_matches("SageMaker").into()
        },
        name: called.to_owned(),
        detail: text(&shown["Status"]["PrimaryStatus"]),
    })
}

fn as_json(chain: &Chain) -> Value {
    let vertices: Vec<Value> = chain
        .vertices
        .iter()
        .map(|(arn, vertex)| json!({"Arn": arn, "Type": vertex.kind, "Name": vertex.name, "Detail": vertex.detail}))
        .collect();
    let edges: Vec<Value> = chain
        .sources
        .iter()
        .flat_map(|(to, sources)| {
            sources.iter().map(move |from| json!({"SourceArn": from, "DestinationArn": to}))
        })
        .collect();
    json!({"Root": chain.root, "Vertices": vertices, "Edges": edges})
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// data → job → model → endpoint, and an image that two of them came from.
    pub fn example() -> Chain {
        let vertex =
            |kind: &str| Vertex { kind: kind.into(), name: format!("{kind} & co"), detail: String::new() };
        let mut chain = Chain { root: "e".into(), ..Chain::default() };
        for (arn, kind) in
            [("e", "Endpoint"), ("m", "Model"), ("j", "TrainingJob"), ("d", "DataSet"), ("i", "Image")]
        {
            chain.vertices.insert(arn.into(), vertex(kind));
        }
        for (to, sources) in [("e", vec!["m"]), ("m", vec!["j", "i"]), ("j", vec!["d", "i"])] {
            chain.sources.insert(to.into(), sources.into_iter().map(str::to_owned).collect());
        }
        chain
    }
}
