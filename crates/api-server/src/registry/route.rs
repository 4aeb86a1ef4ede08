//! Paths below `/v2/`, and what each method does there. Names of repositories have slashes, so a path is
//! read from its end.

use http::Method;
use percent_encoding::percent_decode_str;

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/v2/`: is this a registry, and is the password right?
    Version,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/<name>/tags/list`.
    Tags { name: &'a str },
    /// `/v2/<name>/manifests/<tag or digest>`.
    Manifest { name: &'a str, reference: &'a str },
    /// `/v2/<name>/blobs/<digest>`.
    Blob { name: &'a str, digest: &'a str },
    /// `/v2/<name>/blobs/uploads/`.
    Uploads { name: &'a str },
    /// `/v2/<name>/blobs/uploads/<id>`.
    Upload { name: &'a str, id: &'a str },
}

/// What is done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ping,
    ListRepositories,
    ListTags,
    GetManifest,
    PutManifest,
    DeleteManifest,
    CheckBlob,
    GetBlob,
    DeleteBlob,
    Begin,
    Append,
    Status,
    Finish,
    Cancel,
}

impl<'a> Route<'a> {
    /// The place of a decoded path.
    pub fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        if matches!(rest, "" | "/") {
            return Some(Self::Version);
        }
        let rest = rest.strip_prefix('/')?;
        if rest == "_catalog" {
            return Some(Self::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags { name });
        }
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Some(Self::Uploads { name });
        }
        let (place, last) = rest.rsplit_once('/')?;
        if let Some(name) = place.strip_suffix("/blobs/uploads") {
            return Some(Self::Upload { name, id: last });
        }
        if let Some(name) = place.strip_suffix("/blobs") {
            return Some(Self::Blob { name, digest: last });
        }
        let name = place.strip_suffix("/manifests")?;
        Some(Self::Manifest { name, reference: last })
    }

    /// The repository.
    pub fn name(&self) -> Option<&'a str> {
        match self {
            Self::Version | Self::Catalog => None,
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. } => Some(name),
        }
    }

    /// What a method does here; `None` for one that does nothing.
    pub fn step(&self, method: &Method) -> Option<Step> {
        let step = match (self, method.as_str()) {
            (Self::Version, "GET" | "HEAD") => Step::Ping,
            (Self::Catalog, "GET") => Step::ListRepositories,
            (Self::Tags { .. }, "GET") => Step::ListTags,
            (Self::Manifest { .. }, "GET" | "HEAD") => Step::GetManifest,
            (Self::Manifest { .. }, "PUT") => Step::PutManifest,
            (Self::Manifest { .. }, "DELETE") => Step::DeleteManifest,
            (Self::Blob { .. }, "HEAD") => Step::CheckBlob,
            (Self::Blob { .. }, "GET") => Step::GetBlob,
            (Self::Blob { .. }, "DELETE") => Step::DeleteBlob,
            (Self::Uploads { .. }, "POST") => Step::Begin,
            (Self::Upload { .. }, "PATCH") => Step::Append,
            (Self::Upload { .. }, "GET" | "HEAD") => Step::Status,
            (Self::Upload { .. }, "PUT") => Step::Finish,
            (Self::Upload { .. }, "DELETE") => Step::Cancel,
            _ => return None,
        };
        Some(step)
    }
}

impl Step {
    /// The operation of ECR whose permission it needs; empty when a right password is enough.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Ping => "",
            Self::ListRepositories => "DescribeRepositories",
            Self::ListTags => "ListImages",
            Self::GetManifest => "BatchGetImage",
            Self::PutManifest => "PutImage",
            Self::DeleteManifest | Self::DeleteBlob => "BatchDeleteImage",
            Self::CheckBlob => "BatchCheckLayerAvailability",
            Self::GetBlob => "GetDownloadUrlForLayer",
            Self::Begin => "InitiateLayerUpload",
            Self::Append | Self::Status | Self::Cancel => "UploadLayerPart",
            Self::Finish => "CompleteLayerUpload",
        }
    }
}

/// A parameter of a query.
pub(super) fn parameter(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_look_like_places() {
        for (path, expected) in [
            ("/v2/", Some(Route::Version)),
            ("/v2", Some(Route::Version)),
            ("/v2/_catalog", Some(Route::Catalog)),
            ("/v2/a/b/c/tags/list", Some(Route::Tags { name: "a/b/c" })),
            ("/v2/a/blobs/uploads/", Some(Route::Uploads { name: "a" })),
            ("/v2/a/blobs/uploads/1-2", Some(Route::Upload { name: "a", id: "1-2" })),
            ("/v2/a/blobs/sha256:0", Some(Route::Blob { name: "a", digest: "sha256:0" })),
            ("/v2/blobs/uploads/blobs/x", Some(Route::Blob { name: "blobs/uploads", digest: "x" })),
            (
                "/v2/manifests/manifests/manifests",
                Some(Route::Manifest { name: "manifests", reference: "manifests" }),
            ),
            ("/v2/a", None),
            ("/v2/a/b", None),
            ("/v2//", None),
            ("/v3/", None),
        ] {
            assert_eq!(Route::of(path), expected, "{path}");
        }
    }

    #[test]
    fn what_changes_something_needs_a_permission_to_change() {
        let blob = Route::Blob { name: "a", digest: "d" };
        assert_eq!(blob.step(&Method::HEAD).map(Step::action), Some("BatchCheckLayerAvailability"));
        assert_eq!(blob.step(&Method::PUT), None);
        assert_eq!(Route::Version.step(&Method::POST), None);
        let upload = Route::Upload { name: "a", id: "1" };
        assert_eq!(upload.step(&Method::PUT).map(Step::action), Some("CompleteLayerUpload"));
    }

    #[test]
    fn parameters_are_decoded() {
        let query = "digest=sha256%3Aab&from=a%2Fb&n=5";
        assert_eq!(parameter(query, "digest").as_deref(), Some("sha256:ab"));
        assert_eq!(parameter(query, "from").as_deref(), Some("a/b"));
        assert_eq!(parameter(query, "rom"), None);
    }
}
