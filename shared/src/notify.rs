//! Tells people what a run did, refused, failed at or needs them for: messages
//! to an SNS topic, after the run and before its answer.
//!
//! A message that cannot be sent is a warning and a metric. It never changes
//! what a run does, nor how it ends.

mod form;
mod story;
mod told;

use std::fmt::{self, Display};
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::aws;
use crate::event::Arn;
use crate::policy::{News, Notify};
use crate::report::Report;
use crate::tally::UnitTally;

pub use self::told::{Thing, Told};

/// One message, in both of its forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The subject of an e-mail: less than 100 ASCII characters.
    pub subject: String,
    /// Plain text, for e-mail and every subscriber that is no chat.
    pub text: String,
    /// The custom notification of Amazon Q Developer in chat applications.
    pub chat: Value,
    /// The most important of what it tells.
    pub news: News,
    /// What it is about, in a few words.
    pub about: String,
    /// The things that it tells, but for what was done.
    pub things: Vec<Thing>,
}

/// The messages of a run: what the policy asks for, the most important first,
/// and no more than [`crate::policy::MOST_MESSAGES`].
///
/// What was told lately and stands is left out, unless a person has asked for the run.
pub fn messages(
    report: &Report,
    units: &[UnitTally],
    policy: &Notify,
    told: &Told,
    function: &'static str,
    log_group: &str,
) -> Vec<Message> {
    let stories = story::stories(report, units, policy, told);
    let of = |(n, story)| form::message(story, report, function, log_group, n);
    stories.iter().enumerate().map(of).collect()
}

impl Message {
    /// What SNS is given: an object with a text for each kind of subscriber.
    /// Amazon Q Developer subscribes by HTTPS; every kind that is not named has
    /// the default (Amazon SNS API Reference, "Publish", `MessageStructure`).
    pub fn for_each_protocol(&self) -> String {
        json!({
            "default": self.text,
            "https": self.chat.to_string(),
        })
        .to_string()
    }
}

/// The ARN of a standard SNS topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    arn: String,
    region: String,
}

impl Topic {
    /// What is allowed, for messages.
    pub const ALLOWED: &'static str =
        "the ARN of a standard SNS topic, such as arn:aws:sns:eu-west-1:123456789012:steward";

    /// Reads an ARN; `None` when it is not that of a standard topic. A FIFO
    /// topic delivers to queues only, so that no person would hear of it.
    pub fn parse(text: &str) -> Option<Self> {
        let arn = Arn::parse(text).filter(|arn| arn.service == "sns")?;
        let named = |part: &str, most: usize| {
            let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=most).contains(&part.len()) && part.chars().all(of_a_name)
        };
        let account_is_one =
            arn.account.len() == 12 && arn.account.chars().all(|c| c.is_ascii_digit());
        // Names have up to 256 letters, digits, hyphens and underscores
        // (Amazon SNS API Reference, "CreateTopic"); a FIFO topic's ends in .fifo.
        let is_one = named(&arn.partition, 20)
            && named(&arn.region, 30)
            && account_is_one
            && named(&arn.resource, 256);
        is_one.then(|| Self {
            arn: text.to_owned(),
            region: arn.region,
        })
    }
}

impl Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// Where messages go.
#[derive(Debug)]
pub struct Notifier {
    client: Client,
    topic: Topic,
}

/// What became of a run's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many SNS has taken.
    pub sent: usize,
    /// How many it has not.
    pub failed: usize,
    /// Why not, for the report.
    pub warnings: Vec<String>,
}

impl Notifier {
    /// A notifier for a topic, in the Region of the topic.
    pub fn new(config: &SdkConfig, topic: Topic) -> Self {
        let region = Region::new(topic.region.clone());
        let config = aws_sdk_sns::config::Builder::from(config).region(region);
        Self {
            client: Client::from_conf(config.build()),
            topic,
        }
    }

    /// Sends the messages of a run in one call (`sns:Publish`), and waits no
    /// longer than `within` for the answer.
    pub async fn send(
        &self,
        function: &'static str,
        messages: &[Message],
        within: Duration,
    ) -> Sent {
        if messages.is_empty() {
            return Sent::default();
        }
        let none = |problem: &str| Sent {
            sent: 0,
            failed: messages.len(),
            warnings: vec![format!(
                "{} could not be sent to {}: {problem}",
                counted(messages.len()),
                self.topic
            )],
        };
        let entries: Result<Vec<_>, _> = messages
            .iter()
            .enumerate()
            .map(|(n, message)| entry(n, function, message))
            .collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return none(&aws::chain(&error)),
        };
        let publish = self
            .client
            .publish_batch()
            .topic_arn(&self.topic.arn)
            .set_publish_batch_request_entries(Some(entries))
            .send();
        let answer = match timeout(within, publish).await {
            Err(_) => return none(&format!("no answer within {} ms", within.as_millis())),
            Ok(Err(error)) => return none(&format!("sns:Publish: {}", aws::explain(&error))),
            Ok(Ok(answer)) => answer,
        };
        let warnings: Vec<String> = answer
            .failed()
            .iter()
            .map(|failure| {
                let about = failure
                    .id()
                    .parse()
                    .ok()
                    .and_then(|n: usize| messages.get(n));
                format!(
                    "the notification about {} could not be sent to {}: {}: {}",
                    about.map_or("something", |message| &message.about),
                    self.topic,
                    failure.code(),
                    failure.message().unwrap_or("no message"),
                )
            })
            .collect();
        Sent {
            sent: answer.successful().len(),
            failed: messages.len() - answer.successful().len(),
            warnings,
        }
    }
}

fn counted(messages: usize) -> String {
    match messages {
        1 => "1 notification".to_owned(),
        many => format!("{many} notifications"),
    }
}

/// A message for `PublishBatch`. The attributes are for the filters of
/// subscriptions: only failures to the pager, for example.
fn entry(
    number: usize,
    function: &str,
    message: &Message,
) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
    let text = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
    };
    PublishBatchRequestEntry::builder()
        .id(number.to_string())
        .subject(&message.subject)
        .message_structure("json")
        .message(message.for_each_protocol())
        .message_attributes("function", text(function)?)
        .message_attributes("news", text(message.news.name())?)
        .build()
}
