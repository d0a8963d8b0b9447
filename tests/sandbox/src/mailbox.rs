//! Who hears of what a function tells: an SNS topic with a queue behind it,
//! read as a person reads e-mail.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Account;

/// How long a message may be on its way, in seconds; `ReceiveMessage` takes 20
/// at most (Amazon SQS API Reference).
const WAIT_SECONDS: i32 = 5;

/// A topic and the queue that is subscribed to it.
#[derive(Debug)]
pub struct Mailbox {
    sqs: aws_sdk_sqs::Client,
    topic: String,
    queue: String,
}

/// One message, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The subject of an e-mail.
    pub subject: String,
    /// The text of an e-mail.
    pub text: String,
    /// What filter policies judge by.
    pub attributes: BTreeMap<String, String>,
}

impl Mailbox {
    /// Makes a topic and a queue of this name, and subscribes the queue.
    ///
    /// # Errors
    /// What the emulator answers.
    pub async fn new(account: &Account, name: &str) -> Result<Self> {
        let topic = account.sns().create_topic().name(name).send().await?;
        let topic = topic.topic_arn.context("a topic without an ARN")?;
        Self::of(account, &topic, name).await
    }

    /// Makes a queue of this name, and subscribes it to a topic.
    ///
    /// # Errors
    /// What the emulator answers.
    pub async fn of(account: &Account, topic: &str, name: &str) -> Result<Self> {
        let (sns, sqs, topic) = (account.sns(), account.sqs(), topic.to_owned());
        let queue = sqs.create_queue().queue_name(name).send().await?;
        let queue = queue.queue_url.context("a queue without a URL")?;
        let arn = format!(
            "arn:aws:sqs:{}:{}:{name}",
            account.region_name(),
            account.id()
        );
        sns.subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(arn)
            .send()
            .await?;
        Ok(Self { sqs, topic, queue })
    }

    /// The ARN of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What has come since the last look: as soon as there are `expected`
    /// messages, else what there is when nothing has come for some time.
    ///
    /// # Errors
    /// What the emulator answers, and a message that is none of SNS's.
    pub async fn read(&self, expected: usize) -> Result<Vec<Letter>> {
        let bodies = receive(&self.sqs, &self.queue, expected).await?;
        bodies.iter().map(|body| letter(body)).collect()
    }
}

/// What has come into a queue since the last look, which is taken out: as soon
/// as there are `expected` messages, else what there is when nothing has come
/// for some time.
pub(crate) async fn receive(
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
    expected: usize,
) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    loop {
        // One that is too many would be there already.
        let wait = match bodies.len() < expected {
            true => WAIT_SECONDS,
            false => 0,
        };
        let answer = sqs
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(10)
            .wait_time_seconds(wait)
            .send()
            .await?;
        if answer.messages().is_empty() {
            return Ok(bodies);
        }
        for message in answer.messages() {
            bodies.push(message.body().unwrap_or_default().to_owned());
            let receipt = message.receipt_handle().unwrap_or_default();
            sqs.delete_message()
                .queue_url(queue)
                .receipt_handle(receipt)
                .send()
                .await?;
        }
    }
}

/// The envelope that SNS puts around a message ("Amazon SNS Developer Guide",
/// message formats).
fn letter(body: &str) -> Result<Letter> {
    let envelope: Value = serde_json::from_str(body).context("a message that is not JSON")?;
    let text = |key: &str| envelope[key].as_str().unwrap_or_default().to_owned();
    let attributes = envelope["MessageAttributes"].as_object();
    Ok(Letter {
        subject: text("Subject"),
        text: text("Message"),
        attributes: attributes
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let value = value["Value"].as_str().unwrap_or_default();
                (name.clone(), value.to_owned())
            })
            .collect(),
    })
}
