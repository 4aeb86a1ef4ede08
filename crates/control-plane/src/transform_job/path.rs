//! The part of JSONPath that SageMaker documents for InputFilter and OutputFilter: `$`, `.name`,
//! `['name', 'name']`, `[1, -1]`, `[1:3]` and `*`, in any order, with indexes and slices mixed.
//!
//! Promises: an expression outside this part is refused when the job is created, never when half of
//! the data is done; a name or index that a record does not have is an error, as AWS has it.

use serde_json::{Map, Value};

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// One member.
    Name(String),
    /// Several members: an object with these.
    Names(Vec<String>),
    /// One element.
    Index(i64),
    /// Several elements.
    Picks(Vec<Pick>),
    /// Every member or element.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    Index(i64),
    Slice(Option<i64>, Option<i64>),
}

impl Path {
    /// Does it select everything?
    pub fn is_whole(&self) -> bool {
        self.steps.is_empty()
    }

    /// Reads an expression; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text
            .trim()
            .strip_prefix('$')
            .ok_or_else(|| format!("'{text}' is not a JSONPath expression: it must begin with $."))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = parse_step(rest).map_err(|why| {
                format!(
                    "'{text}' is not supported: {why}. Supported are $, .name, ['name','name'], [0,1], [1:3] and *."
                )
            })?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { steps })
    }

    /// The selected part: a value when the expression can only mean one, a list otherwise.
    pub fn select(&self, root: &Value) -> Result<Value, String> {
        let mut found = vec![root.clone()];
        let mut one = true;
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                match take(step, value) {
                    Ok(values) => next.extend(values),
                    Err(why) if one => return Err(why),
                    // Among many, those without the member are passed over.
                    Err(_) => {}
                }
            }
            one &= !matches!(step, Step::Picks(_) | Step::All);
            found = next;
        }
        Ok(if one { found.pop().unwrap_or_default() } else { Value::Array(found) })
    }
}

fn parse_step(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        if rest.starts_with('[') {
            // `$.field.['a','b']` is how AWS's pages write it.
            return parse_step(rest);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        return match name {
            "" => Err("a name is missing after '.'".into()),
            "*" => Ok((Step::All, after)),
            _ if name.contains(['(', ')', '?', '@', '\'', '"', ' ', '*', ']']) => {
                Err(format!("'{name}' is no plain name"))
            }
            _ => Ok((Step::Name(name.to_owned()), after)),
        };
    }
    let inner =
        text.strip_prefix('[').ok_or_else(|| format!("'{text}' does not follow . or ["))?.trim_start();
    if inner.starts_with(['\'', '"']) {
        return parse_names(inner);
    }
    let (inside, after) = inner.split_once(']').ok_or("a ] is missing")?;
    if inside.trim() == "*" {
        return Ok((Step::All, after));
    }
    let picks = inside.split(',').map(parse_pick).collect::<Result<Vec<_>, _>>()?;
    Ok(match picks.as_slice() {
        [Pick::Index(index)] => (Step::Index(*index), after),
        _ => (Step::Picks(picks), after),
    })
}

/// Quoted names up to the closing bracket.
fn parse_names(mut text: &str) -> Result<(Step, &str), String> {
    let mut names = Vec::new();
    loop {
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or("a quote is missing")?;
        let (name, after) = text[1..].split_once(quote).ok_or("a closing quote is missing")?;
        names.push(name.to_owned());
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix(']') {
            let step = if names.len() == 1 { Step::Name(names.remove(0)) } else { Step::Names(names) };
            return Ok((step, after));
        }
        text = after.strip_prefix(',').ok_or("names are separated by commas")?.trim_start();
    }
}

fn parse_pick(text: &str) -> Result<Pick, String> {
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("'{text}' is no whole number"));
    let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
    match text.split_once(':') {
        Some((from, to)) => Ok(Pick::Slice(bound(from)?, bound(to)?)),
        None => number(text).map(Pick::Index),
    }
}

fn take(step: &Step, value: Value) -> Result<Vec<Value>, String> {
    match (step, value) {
        (Step::Name(name), Value::Object(mut members)) => member(&mut members, name).map(|value| vec![value]),
        (Step::Names(names), Value::Object(mut members)) => {
            let mut kept = Map::new();
            for name in names {
                kept.insert(name.clone(), member(&mut members, name)?);
            }
            Ok(vec![Value::Object(kept)])
        }
        (Step::Index(index), Value::Array(values)) => {
            let place = place(*index, values.len())?;
            Ok(values.into_iter().nth(place).into_iter().collect())
        }
        (Step::Picks(picks), Value::Array(values)) => {
            let mut kept = Vec::new();
            for pick in picks {
                match pick {
                    Pick::Index(index) => kept.push(values[place(*index, values.len())?].clone()),
                    Pick::Slice(from, to) => kept.extend_from_slice(slice(&values, *from, *to)),
                }
            }
            Ok(kept)
        }
        (Step::All, Value::Array(values)) => Ok(values),
        (Step::All, Value::Object(members)) => Ok(members.into_iter().map(|(_, value)| value).collect()),
        (Step::Name(_) | Step::Names(_), _) => Err("a name is asked of something that is no object".into()),
        (Step::Index(_) | Step::Picks(_), _) => Err("an index is asked of something that is no list".into()),
        (Step::All, _) => Err("* is asked of something that is neither object nor list".into()),
    }
}

fn member(members: &mut Map<String, Value>, name: &str) -> Result<Value, String> {
    members.get(name).cloned().ok_or_else(|| format!("there is no attribute '{name}'"))
}

fn place(index: i64, count: usize) -> Result<usize, String> {
    let length = i64::try_from(count).unwrap_or(i64::MAX);
    let place = if index < 0 { index.checked_add(length) } else { Some(index) };
    place
        .filter(|place| (0..length).contains(place))
        .and_then(|place| usize::try_from(place).ok())
        .ok_or_else(|| format!("there is no element {index} among {count}"))
}

/// Elements from one bound up to, not including, the other; bounds beyond the list are its ends.
fn slice(values: &[Value], from: Option<i64>, to: Option<i64>) -> &[Value] {
    let length = i64::try_from(values.len()).unwrap_or(i64::MAX);
    let bound = |bound: i64| {
        let place = if bound < 0 { bound.saturating_add(length) } else { bound };
        usize::try_from(place.clamp(0, length)).unwrap_or_default()
    };
    let (from, to) = (from.map_or(0, bound), to.map_or(values.len(), bound));
    values.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn select(path: &str, value: &Value) -> Result<Value, String> {
        Path::parse(path)?.select(value)
    }

    #[test]
    fn the_documented_forms() {
        let row = json!(["0", "1", "2", "3", "4", "5", "6"]);
        let object =
            json!({"id": 7, "features": [1, 2], "a b": {"c": 1, "d": 2}, "list": [{"x": 1}, {"y": 2}]});
        for (path, root, expected) in [
            ("$", &row, row.clone()),
            ("$[1:]", &row, json!(["1", "2", "3", "4", "5", "6"])),
            ("$[0,5:]", &row, json!(["0", "5", "6"])),
            ("$[-1]", &row, json!("6")),
            ("$[:2]", &row, json!(["0", "1"])),
            ("$[-2:]", &row, json!(["5", "6"])),
            ("$[1,1]", &row, json!(["1", "1"])),
            ("$.features", &object, json!([1, 2])),
            ("$['features'][0]", &object, json!(1)),
            ("$['id','features']", &object, json!({"id": 7, "features": [1, 2]})),
            ("$['a b'].['c','d']", &object, json!({"c": 1, "d": 2})),
            ("$.list[*].x", &object, json!([1])),
            ("$.features.*", &object, json!([1, 2])),
        ] {
            assert_eq!(select(path, root), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for (path, root) in
            [("$.b", json!({"a": 1})), ("$[3]", json!([1])), ("$[0]", json!({"a": 1})), ("$.a", json!(1))]
        {
            assert!(select(path, &root).is_err(), "{path}");
        }
    }

    #[test]
    fn other_expressions_are_refused() {
        for path in
            ["", "features", "$..a", "$.a[?(@.b)]", "$[", "$['a", "$['a'", "$[a]", "$.", "$[1:2:3]", "$a"]
        {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\$?[\\[\\].,:*'\"a0-9ä-]{0,12}", length in 0usize..4) {
            if let Ok(path) = Path::parse(&text) {
                let _ = path.select(&Value::Array(vec![json!({"a": 1}); length]));
            }
        }
    }
}
