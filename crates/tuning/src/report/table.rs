//! The jobs as comma-separated values (RFC 4180).

use super::Report;

fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// One table over all sections; a parameter that a section has not stays empty there.
pub fn csv(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for section in &report.sections {
        for parameter in section.space.parameters() {
            if !names.contains(&parameter.name.as_str()) {
                names.push(&parameter.name);
            }
        }
    }
    let several = report.sections.len() > 1;
    let mut head: Vec<String> = ["job", "status", "objective"].map(String::from).into();
    head.extend(names.iter().map(|name| field(name)));
    head.push("seconds".into());
    head.extend(several.then(|| "definition".to_owned()));
    let mut out = head.join(",") + "\n";
    for section in &report.sections {
        let places: Vec<Option<usize>> = names
            .iter()
            .map(|name| section.space.parameters().iter().position(|parameter| parameter.name == *name))
            .collect();
        for job in &section.jobs {
            let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let mut row = vec![field(&job.name), field(&job.status), number(job.objective)];
            row.extend(places.iter().map(|place| {
                place
                    .and_then(|place| job.setting.get(place))
                    .map(|value| field(&value.to_string()))
                    .unwrap_or_default()
            }));
            row.push(number(job.seconds));
            row.extend(several.then(|| field(section.name.as_deref().unwrap_or_default())));
            out.push_str(&row.join(","));
            out.push('\n');
        }
    }
    out
}
