//! What every event on an EventBridge bus has around its detail.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Arn;
use super::fields::{Fields, Notes};

/// The envelope of an EventBridge event.
///
/// AWS: "AWS service event metadata" (Amazon EventBridge User Guide). Id and
/// time serve logs and answers to "which event was that"; a redelivery has the
/// same id. State is read again in any case, so nothing here is required.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// Unique per event, the same on redelivery.
    pub id: Option<String>,
    /// The account in which it happened.
    pub account: Option<String>,
    /// The Region in which it happened.
    pub region: Option<String>,
    /// When it happened, to the second.
    pub time: Option<Timestamp>,
    /// The resources concerned; many services leave this empty.
    pub resources: Vec<Arn>,
}

impl Envelope {
    pub(super) fn read(event: &Fields<'_>) -> Self {
        Self {
            id: event.text("id"),
            account: event.text("account"),
            region: event.text("region"),
            time: event.time("time"),
            resources: event
                .texts("resources")
                .iter()
                .filter_map(|text| Arn::parse(text))
                .collect(),
        }
    }

    /// The first resource of the given service and type.
    pub(super) fn resource(&self, service: &str, resource_type: &str) -> Option<&Arn> {
        self.resources
            .iter()
            .find(|arn| arn.service == service && arn.resource_type() == resource_type)
    }
}

/// An event of a bus, taken apart but not yet understood.
pub(super) struct Delivered<'a> {
    pub(super) envelope: Envelope,
    pub(super) detail: Fields<'a>,
    pub(super) detail_type: &'a str,
}

impl<'a> Delivered<'a> {
    pub(super) fn read(
        payload: &'a Map<String, Value>,
        detail_type: &'a str,
        notes: &'a Notes,
    ) -> Self {
        let event = Fields::new(payload, "", notes);
        // EventBridge Scheduler sends its empty detail as the string "{}".
        let detail = match payload.get("detail") {
            Some(Value::Object(detail)) => Fields::new(detail, "detail", notes),
            Some(Value::String(text)) if text == "{}" => Fields::absent("detail", notes),
            _ => event.object("detail"),
        };
        Self {
            envelope: Envelope::read(&event),
            detail,
            detail_type,
        }
    }
}
