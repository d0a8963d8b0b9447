//! The permissions that a function needs: one list for its README, for
//! `steward doctor` and for the templates.

/// One IAM action that a function calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The action, such as `ecr:DescribeImages`.
    pub action: &'static str,
    /// What for.
    pub why: &'static str,
    /// What it is called on: `*` for actions without resource-level
    /// permissions, else an ARN in which `{partition}`, `{region}`, `{account}`
    /// and `{unit}` (a repository, a database) stand for the real ones.
    pub on: &'static str,
    /// When it is called.
    pub needed: Needed,
}

/// When a permission is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// Always, also for plans.
    Plan,
    /// For warnings, which are missing without it.
    Advice,
    /// In apply mode.
    Apply,
    /// When a policy or a setting asks for what it is for; see [`Asked`].
    Sometimes,
    /// The same, and in apply mode only.
    SometimesToApply,
}

/// A permission that a policy or a setting asks for, on what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The action, one that is needed [`Needed::Sometimes`] or
    /// [`Needed::SometimesToApply`].
    pub action: &'static str,
    /// The ARN.
    pub resource: String,
    /// The tag by which a role may know the resource, and its value where that is known.
    pub tag: Option<(&'static str, Option<String>)>,
}

impl Asked {
    /// On this ARN, whatever tags it has.
    pub fn on(action: &'static str, resource: String) -> Self {
        Self {
            action,
            resource,
            tag: None,
        }
    }
}

/// The kill switches, which every function reads.
pub const READ_SWITCHES: Permission = Permission::of(
    "ssm:GetParameters",
    "arn:{partition}:ssm:{region}:{account}:parameter/steward/kill-switch/*",
    Needed::Apply,
    "the kill switches",
);

/// The policy of a function, when it is in Parameter Store.
pub const READ_POLICY: Permission = Permission::of(
    "ssm:GetParameter",
    "arn:{partition}:ssm:{region}:{account}:parameter/*",
    Needed::Sometimes,
    "the policy, when it is in Parameter Store",
);

/// An action that AWS asks for behind a call or in the function's name, and why.
pub type Behind = (&'static str, &'static str);

/// Lambda begins a stream of the function's log group.
pub const CREATE_LOG_STREAM: Behind = (
    "logs:CreateLogStream",
    "Lambda writes the function's output with its role",
);

/// Lambda writes into that.
pub const PUT_LOG_EVENTS: Behind = ("logs:PutLogEvents", "the same");

/// Lambda sends what a run did when.
pub const PUT_TRACE_SEGMENTS: Behind = (
    "xray:PutTraceSegments",
    "Lambda sends traces with its role, where tracing is on",
);

/// Lambda sends how that went.
pub const PUT_TELEMETRY: Behind = ("xray:PutTelemetryRecords", "the same");

/// Lambda keeps the events of runs that failed.
pub const LEAVE_FAILED_RUNS: Behind = (
    "sqs:SendMessage",
    "Lambda leaves failed runs in a queue with its role, where there is one",
);

/// The topic that people listen to.
pub const NOTIFY: Permission = Permission::of(
    "sns:Publish",
    "*",
    Needed::Sometimes,
    "telling people what a run did, when there is a topic",
);

impl Permission {
    /// A permission, with its fields in the order in which lists name them.
    pub const fn of(
        action: &'static str,
        on: &'static str,
        needed: Needed,
        why: &'static str,
    ) -> Self {
        Self {
            action,
            why,
            on,
            needed,
        }
    }

    /// The resource for a place and a unit.
    pub fn resource(&self, partition: &str, region: &str, account: &str, unit: &str) -> String {
        self.on
            .replace("{partition}", partition)
            .replace("{region}", region)
            .replace("{account}", account)
            .replace("{unit}", unit)
    }

    /// Whether it is called on units one by one.
    pub fn is_per_unit(&self) -> bool {
        self.on.contains("{unit}")
    }
}
