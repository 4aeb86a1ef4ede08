//! The page around the plots.

use std::fmt::Write;

use super::{Report, Section, chart, escaped, parallel, short};

const STYLE: &str = "
:root{--ink:#1d2433;--soft:#667085;--line:#d8dde6;--dot:#2f6fde;--best:#d9480f;--page:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9f0;--soft:#9aa4b6;--line:#343b4a;--dot:#6ea0ff;--best:#ff8a4c;--page:#14181f}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:var(--soft)}dd{margin:0}
svg{width:100%;height:auto}.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:1rem}
text{font:11px system-ui,sans-serif;fill:var(--soft)}.caption,.middle{text-anchor:middle}.caption{fill:var(--ink)}
.end{text-anchor:end}.grid{stroke:var(--line);stroke-width:.6}.axis{stroke:var(--soft)}.mark{font-size:10px}
.dot{fill:var(--dot);opacity:.65}.stopped{fill:none;stroke:var(--dot)}.top{fill:var(--best)}
.best{fill:none;stroke:var(--best);stroke-width:2}.bar{fill:var(--dot)}
.line{fill:none;stroke:var(--dot)}.top-line{fill:none;stroke:var(--best);stroke-width:2.5}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}.chosen{color:var(--best)}
";

/// The whole page.
pub fn html(report: &Report) -> String {
    let title = escaped(&report.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<dl>"
    );
    for (name, value) in &report.facts {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    out.push_str("</dl>\n");
    for section in &report.sections {
        section_html(section, &mut out);
    }
    out.push_str("</body></html>\n");
    out
}

fn section_html(section: &Section, out: &mut String) {
    if let Some(name) = &section.name {
        let _ = writeln!(out, "<h2>Definition {}</h2>", escaped(name));
    }
    match section.best() {
        Some(best) => {
            let _ = writeln!(
                out,
                "<p>Best: <b class=\"chosen\">{}</b> with {} = {}</p>",
                escaped(&best.name),
                escaped(&section.metric),
                short(best.objective.unwrap_or_default())
            );
        }
        None => out.push_str("<p>No training job has an objective yet.</p>\n"),
    }
    let mut plots = |heading: &str, plots: Vec<String>, class: &str| {
        if !plots.is_empty() {
            let _ = writeln!(out, "<h2>{heading}</h2>\n<div class=\"{class}\">{}</div>", plots.join("\n"));
        }
    };
    plots("Progress", chart::progress(section).into_iter().collect(), "one");
    plots("What matters", chart::importance(&section.insights()).into_iter().collect(), "one");
    let each = (0..section.space.dimensions()).filter_map(|index| chart::against(section, index));
    plots("Objective by parameter", each.collect(), "grid2");
    plots("All together", parallel::coordinates(section).into_iter().collect(), "one");
    jobs(section, out);
}

fn jobs(section: &Section, out: &mut String) {
    out.push_str("<h2>Training jobs</h2>\n<div class=\"wide\"><table><tr><th>job</th><th>status</th>");
    let _ = write!(out, "<th>{}</th>", escaped(&section.metric));
    for parameter in section.space.parameters() {
        let _ = write!(out, "<th>{}</th>", escaped(&parameter.name));
    }
    out.push_str("<th>seconds</th></tr>\n");
    let best = section.best().map(|job| job.name.as_str());
    for job in &section.jobs {
        let class = if Some(job.name.as_str()) == best { " class=\"chosen\"" } else { "" };
        let number = |value: Option<f64>| value.map(short).unwrap_or_default();
        let _ = write!(
            out,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td>",
            escaped(&job.name),
            escaped(&job.status),
            number(job.objective)
        );
        for value in &job.setting {
            let text = match value {
                crate::Value::Number(number) => short(*number),
                other => other.to_string(),
            };
            let _ = write!(out, "<td>{}</td>", escaped(&text));
        }
        let _ = writeln!(out, "<td>{}</td></tr>", number(job.seconds));
    }
    out.push_str("</table></div>\n");
}
