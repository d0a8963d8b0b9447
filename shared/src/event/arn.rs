//! Amazon Resource Names, split without losing what follows the fifth colon.
//!
//! This must never cut a name short: alarm names and the ids of automated
//! database snapshots (`rds:db-2026-11-22-04-07`) contain colons themselves.

use std::fmt;

/// One Amazon Resource Name, `arn:partition:service:region:account:resource`.
///
/// Region and account are empty where the service has none (S3, IAM). AWS:
/// "Identify AWS resources with Amazon Resource Names (ARNs)".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// The service's namespace, such as `rds`.
    pub service: String,
    /// Region code, such as `eu-west-1`; may be empty.
    pub region: String,
    /// Twelve digits; may be empty.
    pub account: String,
    /// Everything after the fifth colon, colons included.
    pub resource: String,
}

impl Arn {
    /// Splits an ARN. `None` when it isn't one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let arn = Self {
            partition: parts.next()?.to_owned(),
            service: parts.next()?.to_owned(),
            region: parts.next()?.to_owned(),
            account: parts.next()?.to_owned(),
            resource: parts.next()?.to_owned(),
        };
        let complete =
            !arn.partition.is_empty() && !arn.service.is_empty() && !arn.resource.is_empty();
        complete.then_some(arn)
    }

    /// What stands before the first `:` or `/` of the resource: `alarm`,
    /// `snapshot`, `service`. Empty when the resource has no type (S3, SNS).
    #[must_use]
    pub fn resource_type(&self) -> &str {
        self.split_resource().0
    }

    /// What stands after the first `:` or `/` of the resource, whole.
    #[must_use]
    pub fn resource_id(&self) -> &str {
        self.split_resource().1
    }

    fn split_resource(&self) -> (&str, &str) {
        self.resource
            .split_once([':', '/'])
            .unwrap_or(("", &self.resource))
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_colons_of_the_name() {
        let text = "arn:aws:rds:eu-west-1:123456789012:snapshot:rds:orders-2026-11-22-04-07";
        let arn = Arn::parse(text).unwrap();
        assert_eq!(arn.resource_type(), "snapshot");
        assert_eq!(arn.resource_id(), "rds:orders-2026-11-22-04-07");
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn keeps_slashes_of_the_name() {
        let arn = Arn::parse("arn:aws:ecs:eu-west-1:123456789012:service/prod/web").unwrap();
        assert_eq!(arn.resource_type(), "service");
        assert_eq!(arn.resource_id(), "prod/web");
    }

    #[test]
    fn refuses_what_is_no_arn() {
        for text in [
            "",
            "arn",
            "arn:aws:ecs",
            "web-5xx",
            "urn:aws:ecs:r:a:x",
            "arn:aws:ecs:r:a:",
        ] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }
}
