//! Why an alarm is left alone, waits, is told to a person or acted on: the stable code
//! and the sentence.

use std::fmt;

/// Why something is done or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The stable code.
    pub code: Code,
    /// The sentence.
    pub text: String,
}

impl Reason {
    /// A reason with its sentence.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl steward::engine::Reason for Reason {
    fn code(&self) -> &'static str {
        self.code.name()
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The stable codes of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// As reports and the ledger have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        /// Every reason code, for the contract section of the README.
        pub const REASON_CODES: &[&str] = &[$($name),+];
    };
}

codes! {
    /// The case begins, changes or ends.
    Noted = "noted",

    // Alarms that nothing is done about.
    /// Neither its tag nor the policy selects it.
    NotSelected = "not_selected",
    /// It drives a scaling policy, and is in alarm as a matter of course.
    OfScalingPolicy = "of_scaling_policy",
    /// It watches Steward itself.
    OfSteward = "of_steward",
    /// It is of another account or Region, or of an alarm that was made anew.
    Foreign = "foreign",
    /// It is not in alarm any more, or was not when it was looked at.
    NotInAlarm = "not_in_alarm",
    /// It has no data, which says nothing.
    NoData = "no_data",
    /// A mute rule keeps its actions still.
    Muted = "muted",
    /// Another alarm suppresses it.
    Suppressed = "suppressed",
    /// It has seen no data since it was made.
    Young = "young",
    /// Whether it is muted, or its state, could not be read.
    AlarmUnread = "alarm_unread",
    /// It was deleted.
    AlarmGone = "alarm_gone",
    /// Nothing is done without the ledger.
    NoLedger = "no_ledger",
    /// What is remembered of it cannot be understood.
    Malformed = "malformed",
    /// No case waits for this approval.
    NothingToApprove = "nothing_to_approve",

    // Cases that wait.
    /// A remedy is given time.
    Settling = "settling",
    /// It is quiet, and might go off again.
    Quiet = "quiet",
    /// Something is raised for it still.
    Raised = "raised",
    /// Another case works on the same target.
    AnotherCase = "another_case",
    /// The last remedy on the target was too short a time ago.
    CoolDown = "cool_down",
    /// There were as many remedies as are allowed in an hour.
    HourlyLimit = "hourly_limit",
    /// Its target is on hold.
    Held = "held",
    /// Its target was parked on purpose.
    Parked = "parked",
    /// Its target could not be looked at.
    Unseen = "unseen",
    /// A deployment is under way that may be the cure.
    Deploying = "deploying",
    /// A deployment is being rolled back.
    RollingBack = "rolling_back",
    /// AWS already works on it.
    HealsItself = "heals_itself",
    /// An agent may come back.
    Damping = "damping",

    // What people are told.
    /// Nothing tells what it is about.
    NoTarget = "no_target",
    /// What it is about is not there any more.
    TargetGone = "target_gone",
    /// The policy does not name the remedy.
    NotifyOnly = "notify_only",
    /// The remedy waits for approval.
    WaitsForApproval = "waits_for_approval",
    /// The remedy may not be done at this time.
    OutsideHours = "outside_hours",
    /// Remedies were tried as often as is allowed.
    AttemptsUsed = "attempts_used",
    /// A remedy made it worse.
    MadeWorse = "made_worse",
    /// It is open for long.
    OpenForLong = "open_for_long",
    /// Its owner deploys it in a way that is left to the owner.
    LeftToOwner = "left_to_owner",
    /// There is no revision to go back to.
    NothingToGoBackTo = "nothing_to_go_back_to",
    /// There are errors, and no release to blame.
    NoRelease = "no_release",
    /// It has as much as is allowed.
    AtMaximum = "at_maximum",
    /// Its tasks cannot start, or those that replace others fail as well.
    TasksFail = "tasks_fail",
    /// Too few others would be left.
    TooFewLeft = "too_few_left",
    /// The instance is of no group.
    NoGroup = "no_group",
    /// Storage cannot be grown here.
    CannotGrow = "cannot_grow",
    /// The database needs a person.
    Database = "database",
    /// No remedy is known for what is wrong.
    NoRemedy = "no_remedy",

    // Why remedies are done.
    /// A service is busy.
    Busy = "busy",
    /// A deployment brings errors.
    BadDeployment = "bad_deployment",
    /// A release brought errors.
    BadRelease = "bad_release",
    /// Tasks are unhealthy.
    Unhealthy = "unhealthy",
    /// There is no room for tasks.
    NoRoom = "no_room",
    /// An instance is of no use.
    BadInstance = "bad_instance",
    /// An instance is well again.
    InstanceBack = "instance_back",
    /// A database runs out of storage.
    StorageLow = "storage_low",
    /// An instance stays drained, and nobody can tell whether it is well.
    LeftDrained = "left_drained",
    /// The database gets a larger class, as a person has approved.
    SmallDatabase = "small_database",
    /// A raise is over.
    RaiseOver = "raise_over",
}
