//! Who hears what AWS services tell EventBridge: a rule with a queue behind it.

use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::Target;
use serde_json::Value;

use crate::Account;
use crate::mailbox;

/// A rule on the default event bus, and the queue that is its target.
#[derive(Debug)]
pub struct Listener {
    sqs: aws_sdk_sqs::Client,
    queue: String,
}

impl Account {
    /// Makes a rule and a queue of this name, which hear every event from now
    /// on that matches the pattern.
    ///
    /// # Errors
    /// What the emulator answers.
    pub async fn listen(&self, name: &str, pattern: &Value) -> Result<Listener> {
        let (sqs, events) = (self.sqs(), self.events());
        let queue = sqs.create_queue().queue_name(name).send().await?;
        let queue = queue.queue_url.context("a queue without a URL")?;
        let arn = format!("arn:aws:sqs:{}:{}:{name}", self.region_name(), self.id());
        events
            .put_rule()
            .name(name)
            .event_pattern(pattern.to_string())
            .send()
            .await?;
        let target = Target::builder().id("queue").arn(arn).build()?;
        events
            .put_targets()
            .rule(name)
            .targets(target)
            .send()
            .await?;
        Ok(Listener { sqs, queue })
    }
}

impl Listener {
    /// What has come since the last look: as soon as there are `expected`
    /// events, else what there is when nothing has come for some time.
    ///
    /// # Errors
    /// What the emulator answers.
    pub async fn read(&self, expected: usize) -> Result<Vec<Value>> {
        let bodies = mailbox::receive(&self.sqs, &self.queue, expected).await?;
        let parsed = bodies.iter().map(|body| serde_json::from_str(body));
        parsed
            .collect::<Result<_, _>>()
            .context("an event that is not JSON")
    }
}
