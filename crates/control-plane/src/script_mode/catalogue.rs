//! Which images are Python environments or other images here: what the operator's file says, then what
//! the names of the AWS framework images mean.

use sagebrush_runner::python::Wanted;
use serde::Deserialize;

/// Images in one file: far more than anybody maps by hand.
const ENTRIES: usize = 1_000;

/// What stands for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// An image of the container engine.
    Container(String),
    /// A managed Python environment.
    Python(Wanted),
}

/// The operator's file.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    image: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Pattern of image URIs: `*` stands for any text.
    matches: String,
    container: Option<String>,
    python: Option<PythonEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PythonEntry {
    requirements: Vec<String>,
    version: Option<String>,
    #[serde(default)]
    pip: Vec<String>,
}

impl Catalogue {
    /// Reads the text of a file, such as
    ///
    /// ```toml
    /// [[image]]
    /// matches = "*/our-sklearn:*"
    /// python = { requirements = ["scikit-learn==1.5.2"], version = "3.11" }
    ///
    /// [[image]]
    /// matches = "*/our-torch:*"
    /// container = "local/torch:2"
    /// ```
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let File { image: entries } = toml::from_str(text).map_err(|error| error.to_string())?;
        if entries.len() > ENTRIES {
            return Err(format!("more than {ENTRIES} images"));
        }
        for entry in &entries {
            if entry.container.is_some() == entry.python.is_some() {
                return Err(format!("image '{}': give either container or python", entry.matches));
            }
        }
        Ok(Self { entries })
    }

    /// What the file says about an image; the first entry that matches counts.
    pub fn mapped(&self, image: &str) -> Option<Stand> {
        let entry = self.entries.iter().find(|entry| matches(&entry.matches, image))?;
        if let Some(container) = &entry.container {
            return Some(Stand::Container(container.clone()));
        }
        let python = entry.python.as_ref()?;
        Some(Stand::Python(Wanted {
            name: name_and_tag(image).0.to_owned(),
            packages: python.requirements.clone(),
            python: python.version.clone(),
            pip: python.pip.clone(),
        }))
    }
}

/// Whether a text is what a pattern with `*` says.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Repository's last name and tag.
fn name_and_tag(image: &str) -> (&str, &str) {
    let name = image.split('@').next().unwrap_or(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split_once(':').unwrap_or((name, ""))
}

/// The environment that the name of an AWS framework image asks for. Versions come from the tag; what the
/// frameworks' images hold besides is what scripts import most.
pub fn framework(image: &str) -> Option<Wanted> {
    let (name, tag) = name_and_tag(image);
    let version = leading_version(tag);
    let pin = |package: &str, version: Option<&str>| match version {
        Some(version) => format!("{package}=={version}"),
        None => package.to_owned(),
    };
    let minor = version.as_deref().map(|version| format!("{}.*", two_parts(version)));
    let minor = minor.as_deref();
    let packages: Vec<String> = match name {
        // An environment with nothing but Python, for scripts that bring their requirements.
        "sagebrush-python" | "sagemaker-base-python" => Vec::new(),
        "sagemaker-scikit-learn" => {
            // Builds before 1.4 were made against NumPy 1 and fail beside newer pandas and SciPy.
            let old = version.as_deref().is_some_and(|version| below(version, &[1, 4]));
            let bounds: &[&str] = if old {
                &["numpy<2", "pandas<2.2", "scipy<1.14", "joblib"]
            } else {
                &["numpy", "pandas", "scipy", "joblib"]
            };
            with(pin("scikit-learn", minor), bounds)
        }
        "sagemaker-xgboost" => {
            let old = version.as_deref().is_some_and(|version| below(version, &[2]));
            with(
                pin("xgboost", minor),
                if old {
                    &["numpy<2", "pandas<2.2", "scipy<1.14", "scikit-learn<1.6"]
                } else {
                    &["numpy", "pandas", "scipy", "scikit-learn"]
                },
            )
        }
        "pytorch-training" | "pytorch-inference" => torch(minor, version.as_deref()),
        "tensorflow-training" => with(pin("tensorflow", minor), &["pandas", "scikit-learn"]),
        "huggingface-pytorch-training" | "huggingface-pytorch-inference" => {
            let transformers = after(tag, "transformers").map(|version| format!("{}.*", two_parts(&version)));
            let mut packages = torch(minor, version.as_deref());
            packages.push(pin("transformers", transformers.as_deref()));
            packages.extend(["datasets", "accelerate"].map(str::to_owned));
            packages
        }
        _ => return None,
    };
    let python = after(tag, "py").filter(|digits| digits.len() > 1 && !digits.contains('.'));
    let python = python.map(|digits| format!("{}.{}", &digits[..1], &digits[1..]));
    Some(Wanted { name: name.to_owned() + &tag_suffix(tag), packages, python, pip: Vec::new() })
}

fn tag_suffix(tag: &str) -> String {
    if tag.is_empty() { String::new() } else { format!(":{tag}") }
}

fn torch(minor: Option<&str>, version: Option<&str>) -> Vec<String> {
    let pin = minor.map_or_else(|| "torch".to_owned(), |minor| format!("torch=={minor}"));
    // Builds before 2.3 were made against NumPy 1.
    let numpy = if version.is_some_and(|version| below(version, &[2, 3])) { "numpy<2" } else { "numpy" };
    with(pin, &[numpy, "pandas", "scipy", "scikit-learn"])
}

fn with(first: String, rest: &[&str]) -> Vec<String> {
    std::iter::once(first).chain(rest.iter().map(|package| (*package).to_owned())).collect()
}

/// The version that a tag begins with: `1.2` of `1.2-1-cpu-py3`.
fn leading_version(tag: &str) -> Option<String> {
    let version: String =
        tag.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    version.contains('.').then(|| version.trim_end_matches('.').to_owned())
}

/// What follows a word at the beginning of a part of the tag: `4.36.0` of `...-transformers4.36.0-...`.
fn after(tag: &str, word: &str) -> Option<String> {
    let number = |part: &str| {
        let digits = part.strip_prefix(word)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !digits.is_empty();
        plain.then(|| digits.to_owned())
    };
    tag.split('-').find_map(number)
}

fn two_parts(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn below(version: &str, bound: &[u64]) -> bool {
    let numbers: Vec<u64> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    numbers.as_slice() < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(image: &str) -> Vec<String> {
        framework(image).map(|wanted| wanted.packages).unwrap_or_default()
    }

    #[test]
    fn tags_of_framework_images_say_the_versions() {
        let sklearn = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
        assert_eq!(packages(sklearn)[..2], ["scikit-learn==1.2.*", "numpy<2"]);
        assert_eq!(framework(sklearn).and_then(|wanted| wanted.python), None);
        let torch = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311";
        assert_eq!(packages(torch)[..2], ["torch==2.3.*", "numpy"]);
        assert_eq!(framework(torch).and_then(|wanted| wanted.python).as_deref(), Some("3.11"));
        let face = "x/huggingface-pytorch-training:2.1.0-transformers4.36.0-gpu-py310-cu121-ubuntu20.04";
        assert!(packages(face).contains(&"transformers==4.36.*".to_owned()));
        assert_eq!(packages("x/sagemaker-scikit-learn:latest")[0], "scikit-learn");
        assert_eq!(framework("x/object2vec:1"), None);
        assert_eq!(framework("sagebrush-python").map(|wanted| wanted.packages), Some(Vec::new()));
    }

    #[test]
    fn the_operators_file_comes_first() -> Result<(), String> {
        let catalogue = Catalogue::parse(
            "[[image]]\nmatches = \"*/our-*:2\"\ncontainer = \"local/our:2\"\n\
             [[image]]\nmatches = \"*our-sklearn*\"\npython = { requirements = [\"scikit-learn\"], version = \"3.11\" }\n",
        )?;
        assert_eq!(catalogue.mapped("host/our-sklearn:2"), Some(Stand::Container("local/our:2".into())));
        let Some(Stand::Python(wanted)) = catalogue.mapped("host/our-sklearn:3") else {
            return Err("none".into());
        };
        assert_eq!((wanted.name.as_str(), wanted.python.as_deref()), ("our-sklearn", Some("3.11")));
        assert_eq!(catalogue.mapped("host/other:2"), None);
        assert!(Catalogue::parse("[[image]]\nmatches = \"x\"\n").is_err_and(|error| error.contains("'x'")));
        assert!(Catalogue::parse("[[images]]\n").is_err());
        Ok(())
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*b*", "abc", true),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
