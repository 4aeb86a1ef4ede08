//! What to take when a pinned version has no file for this Python: the nearest that has one.

/// The requirement that pip could not satisfy and the versions it found, from its error message
/// `Could not find a version that satisfies the requirement NAME==VERSION (from versions: ...)`.
pub fn unsatisfied(line: &str) -> Option<(String, Vec<String>)> {
    let rest = line.split("Could not find a version that satisfies the requirement ").nth(1)?;
    let (requirement, rest) = rest.split_once(" (from versions: ")?;
    // What a package asks for reads `name==1 (from other-package)`, which is no requirement of ours.
    let requirement = requirement.trim().to_owned();
    let versions = rest.split_once(')')?.0;
    let versions = versions.split(',').map(|version| version.trim().to_owned());
    Some((requirement, versions.filter(|version| version != "none").collect()))
}

/// The pin `NAME==VERSION` with the nearest of the versions there are: the lowest that is not below it,
/// or else the highest. `None` when it is no pin or there are no versions.
pub fn nearest(requirement: &str, versions: &[String]) -> Option<String> {
    let (name, wanted) = requirement.split_once("==")?;
    let wanted = numbers(wanted.trim().trim_end_matches(".*"))?;
    let mut known: Vec<(Vec<u64>, &String)> =
        versions.iter().filter_map(|version| Some((numbers(version)?, version))).collect();
    known.sort();
    let above = known.iter().find(|(numbers, _)| *numbers >= wanted);
    let (_, version) = above.or(known.last())?;
    Some(format!("{name}=={version}"))
}

/// The numbers of a plain version; a pre-release has letters and is never taken.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_version_is_the_next_one_up() {
        let line = "ERROR: Could not find a version that satisfies the requirement scikit-learn==0.23.* \
                    (from versions: 1.10.0, 1.2.0, 1.2.1, 1.9.0rc1, 1.3.2)";
        let (requirement, versions) = unsatisfied(line).unwrap_or_default();
        assert_eq!(requirement, "scikit-learn==0.23.*");
        assert_eq!(nearest(&requirement, &versions).as_deref(), Some("scikit-learn==1.2.0"));
        assert_eq!(nearest("scikit-learn==1.3.*", &versions).as_deref(), Some("scikit-learn==1.3.2"));
        assert_eq!(nearest("scikit-learn==2.0", &versions).as_deref(), Some("scikit-learn==1.10.0"));
    }

    #[test]
    fn without_versions_there_is_nothing_near() {
        let line =
            "ERROR: Could not find a version that satisfies the requirement nosuch==1 (from versions: none)";
        assert_eq!(unsatisfied(line), Some(("nosuch==1".into(), vec![])));
        assert_eq!(nearest("nosuch==1", &[]), None);
        assert_eq!(nearest("nosuch>=1", &["1.0".into()]), None);
        assert_eq!(unsatisfied("ERROR: something else"), None);
    }
}
