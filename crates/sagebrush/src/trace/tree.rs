//! The chain as an indented tree. What several came from is drawn once and referred to afterwards.

use std::collections::BTreeSet;

use super::Chain;

/// The chain as text.
pub fn draw(chain: &Chain) -> String {
    let mut text = String::new();
    branch(chain, &chain.root, "", "", &mut BTreeSet::new(), &mut text);
    text
}

fn branch(
    chain: &Chain,
    arn: &str,
    lead: &str,
    below: &str,
    drawn: &mut BTreeSet<String>,
    text: &mut String,
) {
    let vertex = chain.vertices.get(arn).cloned().unwrap_or_default();
    let again = !drawn.insert(arn.to_owned());
    let sources: Vec<&String> = chain.sources.get(arn).into_iter().flatten().collect();
    text.push_str(lead);
    text.push_str(&format!("{}  {}", vertex.kind, vertex.name));
    if !vertex.detail.is_empty() {
        text.push_str(&format!("  [{}]", vertex.detail));
    }
    if again && !sources.is_empty() {
        text.push_str("  (drawn above)");
    }
    text.push('\n');
    if again {
        return;
    }
    for (index, source) in sources.iter().enumerate() {
        let last = index + 1 == sources.len();
        let (lead, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(chain, source, &format!("{below}{lead}"), &format!("{below}{rest}"), drawn, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_tree_leads_from_the_endpoint_to_the_data() {
        assert_eq!(
            draw(&example()),
            "Endpoint  Endpoint & co\n\
             └─ Model  Model & co\n\
             \u{20}  ├─ Image  Image & co\n\
             \u{20}  └─ TrainingJob  TrainingJob & co\n\
             \u{20}     ├─ DataSet  DataSet & co\n\
             \u{20}     └─ Image  Image & co\n"
        );
    }
}
