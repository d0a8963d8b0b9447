//! Our own form, by hand and as the input of EventBridge Scheduler.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::{Fields, Notes, kind_of};
use super::{Arn, EventError, Mode};

/// Every key that the form itself understands.
pub(super) const KEYS: [&str; 6] = [
    "operation",
    "mode",
    "scheduledTime",
    "executionId",
    "scheduleArn",
    "attemptNumber",
];
/// The same, for messages.
pub(super) const KEYS_IN_WORDS: &str = "\"operation\", \"mode\", \"scheduledTime\", \
    \"executionId\", \"scheduleArn\", \"attemptNumber\", or {} for every default";

/// `{"operation":"…","mode":"plan"|"apply", …}`: how a person, another program
/// or EventBridge Scheduler calls a function.
///
/// The empty object is valid and means the function's main operation, in the
/// mode that its own leash gives. What is written is taken at its word: an
/// operation or a mode that isn't a proper text is an error and never a default,
/// because the default of a mode may be apply.
///
/// A schedule's input should pass on what Scheduler knows: `"scheduledTime":
/// "<aws.scheduler.scheduled-time>"`, `"executionId":
/// "<aws.scheduler.execution-id>"` (the same on every retry), `"scheduleArn":
/// "<aws.scheduler.schedule-arn>"`, `"attemptNumber":
/// "<aws.scheduler.attempt-number>"`. AWS: "Adding context attributes in
/// Amazon EventBridge Scheduler".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManualEvent {
    /// What to do; the function's main operation when it is absent.
    pub operation: Option<String>,
    /// May lower the function's leash, never lengthen it.
    pub mode: Option<Mode>,
    /// When the schedule was due, which may be earlier than now.
    pub scheduled_time: Option<Timestamp>,
    /// Scheduler's id of this firing, the same on every retry.
    pub execution_id: Option<String>,
    /// The schedule that fired.
    pub schedule_arn: Option<Arn>,
    /// Which delivery attempt this is.
    pub attempt_number: Option<u64>,
    /// Every other key. Each function checks these against what its operation
    /// takes and refuses what it does not know.
    pub parameters: Map<String, Value>,
    /// What was tolerated while reading.
    pub warnings: Vec<String>,
}

impl ManualEvent {
    /// Whether a schedule sent this rather than a person.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.scheduled_time.is_some() || self.execution_id.is_some() || self.schedule_arn.is_some()
    }
}

pub(super) fn parse(object: &Map<String, Value>) -> Result<ManualEvent, EventError> {
    let mut parameters = object.clone();
    parameters.retain(|key, _| !KEYS.contains(&key.as_str()));
    if let Some((found, meant)) = parameters.keys().find_map(|key| {
        let meant = KEYS.into_iter().find(|known| same_letters(key, known))?;
        Some((key, meant))
    }) {
        return Err(EventError::MisspeltKey {
            found: super::cut(found),
            meant,
        });
    }

    let operation = own_text(object, "operation", "the name of an operation")?;
    let mode = own_text(object, "mode", "\"plan\" or \"apply\"")?
        .map(|word| word.parse())
        .transpose()?;

    // What a schedule adds is information only, so an odd value, such as a
    // placeholder that nothing has filled in, does no harm.
    let notes = Notes::default();
    let fields = Fields::new(object, "", &notes);
    Ok(ManualEvent {
        operation,
        mode,
        scheduled_time: fields.time("scheduledTime"),
        execution_id: fields.text("executionId"),
        schedule_arn: fields.arn("scheduleArn"),
        attempt_number: fields.whole_number("attemptNumber"),
        parameters,
        warnings: notes.into_warnings(),
    })
}

/// A text that must be one when its key is there: not null, not empty.
fn own_text(
    object: &Map<String, Value>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<String>, EventError> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(EventError::WrongType {
            key,
            expected,
            found: "an empty string",
        }),
        Some(other) => Err(EventError::WrongType {
            key,
            expected,
            found: kind_of(other),
        }),
    }
}

/// Whether two keys differ only in case and separators.
fn same_letters(one: &str, other: &str) -> bool {
    let letters = |key: &str| {
        key.chars()
            .filter(|c| !matches!(c, '_' | '-' | ' '))
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    letters(one) == letters(other)
}
