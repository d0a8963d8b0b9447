//! Which emulator answers for which AWS service, and the guard that keeps the
//! sandbox on this machine.

use std::fmt;
use std::net::IpAddr;

/// The services that moto, the account looked after, answers: the name in a
/// `SigV4` credential scope, and the one in `AWS_ENDPOINT_URL_<NAME>`. ministack,
/// the plumbing, answers all others.
const LOOKED_AFTER: [(&str, &str); 11] = [
    ("application-autoscaling", "APPLICATION_AUTO_SCALING"),
    ("autoscaling", "AUTO_SCALING"),
    ("ec2", "EC2"),
    ("ecr", "ECR"),
    ("ecs", "ECS"),
    ("elasticloadbalancing", "ELASTIC_LOAD_BALANCING_V2"),
    ("kms", "KMS"),
    ("lambda", "LAMBDA"),
    ("monitoring", "CLOUDWATCH"),
    ("rds", "RDS"),
    ("secretsmanager", "SECRETS_MANAGER"),
];

/// An address the sandbox refuses to talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sandbox talks to this machine only, and `{address}` is not a loopback address (127.0.0.1 or [::1] over plain http)"
)]
pub struct NotLoopback {
    address: String,
}

/// The base addresses of the two emulators, both certainly on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoints {
    moto: String,
    ministack: Option<String>,
}

impl Endpoints {
    /// # Errors
    /// [`NotLoopback`] for any address that could leave this machine.
    pub fn new(moto: &str, ministack: Option<&str>) -> Result<Self, NotLoopback> {
        let checked = |address: &str| {
            refuse_beyond_loopback(address)?;
            Ok(address.trim_end_matches('/').to_owned())
        };
        Ok(Self {
            moto: checked(moto)?,
            ministack: ministack.map(checked).transpose()?,
        })
    }

    /// Where moto, the account looked after, listens.
    pub fn moto(&self) -> &str {
        &self.moto
    }

    /// Where ministack, the plumbing, listens; `None` when it was not started.
    pub fn ministack(&self) -> Option<&str> {
        self.ministack.as_deref()
    }

    /// The address for a service, named as in a `SigV4` credential scope.
    pub(crate) fn of_service(&self, service: &str) -> Option<&str> {
        if LOOKED_AFTER.iter().any(|(scope, _)| *scope == service) {
            Some(self.moto())
        } else {
            self.ministack()
        }
    }

    /// The SDK's own endpoint variables, for a process outside this one.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let general = (
            "AWS_ENDPOINT_URL".to_owned(),
            self.ministack().unwrap_or(self.moto()).to_owned(),
        );
        let named = LOOKED_AFTER
            .iter()
            .map(|(_, name)| (format!("AWS_ENDPOINT_URL_{name}"), self.moto.clone()));
        std::iter::once(general).chain(named).collect()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "moto {}, ministack {}",
            self.moto,
            self.ministack().unwrap_or("not started")
        )
    }
}

/// Refuses every address that is not plain HTTP to a loopback address. Names
/// are refused too, `localhost` among them: what they resolve to is decided
/// elsewhere.
///
/// # Errors
/// [`NotLoopback`] with the address.
pub fn refuse_beyond_loopback(address: &str) -> Result<(), NotLoopback> {
    let refused = || NotLoopback {
        address: address.to_owned(),
    };
    let authority = address
        .strip_prefix("http://")
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .ok_or_else(refused)?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    };
    match host.and_then(|host| host.parse::<IpAddr>().ok()) {
        Some(ip) if ip.is_loopback() => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_accepted() {
        for address in [
            "http://127.0.0.1:5000",
            "http://127.8.8.8",
            "http://[::1]:80/x?y",
        ] {
            assert_eq!(refuse_beyond_loopback(address), Ok(()), "{address}");
        }
        for address in [
            "https://ecr.us-east-1.amazonaws.com",
            "http://10.0.0.1:5000",
            "http://0.0.0.0:5000",
            "http://169.254.169.254",
            "http://localhost:5000",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1.example.com",
            "http://[2001:db8::1]",
            "127.0.0.1:5000",
            "",
        ] {
            assert!(
                refuse_beyond_loopback(address).is_err(),
                "{address} was accepted"
            );
        }
    }

    #[test]
    fn a_sandbox_cannot_be_pointed_elsewhere() {
        let elsewhere = Endpoints::new("http://127.0.0.1:1", Some("http://203.0.113.7:80"));
        assert!(elsewhere.unwrap_err().to_string().contains("203.0.113.7"));
    }
}
