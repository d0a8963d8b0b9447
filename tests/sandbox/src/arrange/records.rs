//! What Steward keeps and asks beside the system: its ledger, and change
//! calendars.

use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_ssm::types::{DocumentFormat, DocumentType};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::account::Account;

/// The ledger's table, as `infra/automation.yaml` names it.
pub const LEDGER: &str = "steward-ledger";

/// What a change calendar is outside its events; during them it is the
/// opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarType {
    /// Changes may be made unless there is an event.
    DefaultOpen,
    /// Changes may be made during events only.
    DefaultClosed,
}

impl Account {
    /// Makes the ledger's table as `infra/automation.yaml` deploys it, but for
    /// its encryption and its protections, where the stack is not deployed.
    ///
    /// # Errors
    /// When it exists already.
    pub async fn ledger(&self) -> Result<()> {
        self.ledger_named(LEDGER).await
    }

    /// The same under another name.
    ///
    /// # Errors
    /// When it exists already.
    pub async fn ledger_named(&self, table: &str) -> Result<()> {
        let dynamodb = self.dynamodb();
        let mut request = dynamodb
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest);
        for (name, key) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let key = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(key);
            request = request
                .attribute_definitions(attribute.build()?)
                .key_schema(key.build()?);
        }
        request.send().await.context("cannot create the ledger")?;
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name("expires_at")
            .enabled(true);
        dynamodb
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(expiry.build()?)
            .send()
            .await
            .context("cannot let the ledger's items expire")?;
        Ok(())
    }

    /// Lets the ledger be as if all in it had been written so much earlier, for
    /// processes that cannot be given another clock than that on the wall.
    ///
    /// Since when an alarm is in alarm CloudWatch says, which is as it was.
    ///
    /// # Errors
    /// When DynamoDB refuses, or an entry is none of Steward's.
    pub async fn age_ledger(&self, by: SignedDuration) -> Result<()> {
        let dynamodb = self.dynamodb();
        let found = dynamodb.scan().table_name(LEDGER).consistent_read(true);
        for mut item in found.send().await?.items.unwrap_or_default() {
            let body = item.get("body").and_then(|body| body.as_s().ok());
            let mut body: Value = serde_json::from_str(body.context("an entry without a body")?)?;
            let since = body["since"].clone();
            let of_alarm = body["source"]["alarm"].is_string();
            age(&mut body, by);
            if of_alarm {
                body["since"] = since;
            }
            item.insert("body".to_owned(), AttributeValue::S(body.to_string()));
            let expires = item.get("expires_at").and_then(|at| at.as_n().ok());
            if let Some(at) = expires.and_then(|at| at.parse::<i64>().ok()) {
                let earlier = (at - by.as_secs()).to_string();
                item.insert("expires_at".to_owned(), AttributeValue::N(earlier));
            }
            let put = dynamodb.put_item().table_name(LEDGER).set_item(Some(item));
            put.send().await?;
        }
        Ok(())
    }

    /// Makes a change calendar with events that begin and end, or changes the
    /// one of this name.
    ///
    /// # Errors
    /// When AWS Systems Manager refuses.
    pub async fn calendar(
        &self,
        name: &str,
        kind: CalendarType,
        events: &[(Timestamp, Timestamp)],
    ) -> Result<()> {
        let content = content(kind, events);
        let ssm = self.ssm();
        let created = ssm
            .create_document()
            .name(name)
            .document_type(DocumentType::ChangeCalendar)
            .document_format(DocumentFormat::Text)
            .content(&content)
            .send()
            .await;
        let Err(error) = created else { return Ok(()) };
        let error = error.into_service_error();
        if !error.is_document_already_exists() {
            return Err(error).with_context(|| format!("cannot create calendar {name}"));
        }
        let updated = ssm
            .update_document()
            .name(name)
            .document_version("$LATEST")
            .content(content)
            .send()
            .await;
        let Err(error) = updated else { return Ok(()) };
        let error = error.into_service_error();
        // It says so already.
        if error.is_duplicate_document_content() {
            return Ok(());
        }
        Err(error).with_context(|| format!("cannot change calendar {name}"))
    }
}

/// Every time in it is as much earlier.
fn age(value: &mut Value, by: SignedDuration) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|it| age(it, by)),
        Value::Array(items) => items.iter_mut().for_each(|it| age(it, by)),
        Value::String(text) => {
            if let Ok(at) = text.parse::<Timestamp>() {
                *text = (at - by).to_string();
            }
        }
        _ => {}
    }
}

/// "Creating a change calendar" (AWS Systems Manager User Guide): iCalendar
/// text with AWS's own property for the type.
fn content(kind: CalendarType, events: &[(Timestamp, Timestamp)]) -> String {
    let kind = match kind {
        CalendarType::DefaultOpen => "DEFAULT_OPEN",
        CalendarType::DefaultClosed => "DEFAULT_CLOSED",
    };
    let mut lines = vec![
        "BEGIN:VCALENDAR".to_owned(),
        "PRODID:-//AWS//Change Calendar 1.0//EN".to_owned(),
        "VERSION:2.0".to_owned(),
        format!("X-CALENDAR-TYPE:{kind}"),
    ];
    for (begin, end) in events {
        lines.extend([
            "BEGIN:VEVENT".to_owned(),
            format!("DTSTART:{}", begin.strftime("%Y%m%dT%H%M%SZ")),
            format!("DTEND:{}", end.strftime("%Y%m%dT%H%M%SZ")),
            "END:VEVENT".to_owned(),
        ]);
    }
    lines.push("END:VCALENDAR".to_owned());
    lines.join("\r\n")
}
