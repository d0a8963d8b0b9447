//! What AWS answered, in its own words: settings that the SDK does not know yet
//! would be lost in its types, and these have no way back to JSON.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::{Map, Value};
use steward::restore_point::AsAnswered;

/// The answer to one call to a service that speaks JSON. It may hold plain-text
/// environment values, so that `Debug` shows nothing.
#[derive(Clone, Default)]
pub(super) struct Answer(Arc<Mutex<Vec<u8>>>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "Answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        Ok(())
    }
}

impl Answer {
    fn member(&self, name: &str) -> Option<Value> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body: Map<String, Value> =
            serde_json::from_slice(&std::mem::take(&mut *body)).ok()?;
        body.remove(name)
    }

    /// The objects in a list of the answer; `None` when it has no such list.
    pub(super) fn list(&self, name: &str) -> Option<Vec<AsAnswered>> {
        let Value::Array(items) = self.member(name)? else {
            return None;
        };
        let objects = items.into_iter().map(|item| match item {
            Value::Object(object) => Some(AsAnswered(object)),
            _ => None,
        });
        objects.collect()
    }

    /// The whole answer.
    pub(super) fn whole(&self) -> Option<AsAnswered> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_slice(&body).ok().map(AsAnswered)
    }
}

/// A text of an object.
pub(super) fn text<'a>(object: &'a AsAnswered, name: &str) -> Option<&'a str> {
    object.0.get(name).and_then(Value::as_str)
}

/// The objects of a list in an object; none when there is no such list.
pub(super) fn objects<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    let items = object.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_object)
}

/// Takes out what is only state, and puts tags in order: AWS promises none.
pub(super) fn settle(object: &mut AsAnswered, state: &[&str]) {
    for name in state {
        object.0.remove(*name);
    }
    if let Some(tags) = object.0.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(|tag| tag["key"].to_string());
    }
}
