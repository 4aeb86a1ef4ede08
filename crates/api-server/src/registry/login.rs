//! Who sends a request: HTTP Basic with the user name `AWS` and a password of GetAuthorizationToken.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sagebrush_access::RegistryLogin;
use sagebrush_auth::AuthFailure;

use super::RegistryFrontDoor;
use super::error::Refusal;

impl RegistryFrontDoor {
    /// The sender of a request with these headers.
    pub(super) fn login(&self, headers: &HeaderMap) -> Result<RegistryLogin, Refusal> {
        let unproven = |message| {
            let challenge = format!("Basic realm=\"{}/\",service=\"ecr.amazonaws.com\"", self.url);
            Refusal::unproven(challenge, message)
        };
        let header = headers.get(AUTHORIZATION).ok_or_else(|| {
            unproven("Not Authorized: log in first, aws ecr get-login-password | docker login -u AWS --password-stdin")
        })?;
        let password = password(header.as_bytes()).ok_or_else(|| {
            unproven("Not Authorized: log in as AWS with a password of ecr get-login-password")
        })?;
        self.access.directory.registry_login(&password, self.access.now()).map_err(|failure| match failure {
            // As ECR does, so that an engine says it instead of asking for a password.
            AuthFailure::ExpiredToken => Refusal::denied(
                "Your authorization token has expired. Reauthenticate and try again.".to_owned(),
            ),
            _ => unproven(
                "Not Authorized: the password is not one of this server, or its access key is no more",
            ),
        })
    }
}

/// The password that goes with the user name `AWS`.
fn password(header: &[u8]) -> Option<String> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (user == "AWS").then(|| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_aws_has_a_password() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(password(header("AWS:a:b").as_bytes()).as_deref(), Some("a:b"));
        for wrong in [header("aws:a"), header("AWS"), "Basic ###".into(), "Bearer x".into(), String::new()] {
            assert_eq!(password(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
