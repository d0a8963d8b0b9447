//! The two forms of a message: plain text for e-mail, and the custom
//! notification of Amazon Q Developer in chat applications.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Message;
use super::story::Story;
use crate::report::Report;

/// SNS takes subjects of less than 100 characters without line breaks and
/// control characters (Amazon SNS API Reference, "Publish").
const MOST_SUBJECT: usize = 99;
/// How long one text of a message may be, in characters.
const MOST_TEXT: usize = 600;
/// How many lines and how many next steps a message has at most.
const MOST_LINES: usize = 22;
const MOST_STEPS: usize = 5;
/// Slack takes 3,000 characters in a section of text; the rest is room for
/// what is put around it.
const MOST_DESCRIPTION: usize = 2_500;
/// How many units a chat message names as related.
const MOST_RELATED: usize = 10;

/// The schema of "Custom notifications using Amazon Q Developer in chat
/// applications" (Amazon Q Developer in chat applications Administrator Guide).
/// A message that does not follow it is dropped without a word.
#[derive(Debug, Serialize)]
struct ChatNotification<'a> {
    version: &'static str,
    source: &'static str,
    id: String,
    content: Content,
    metadata: Metadata<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_steps: Vec<String>,
    keywords: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    thread_id: String,
    summary: String,
    event_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_resources: Vec<String>,
    additional_context: BTreeMap<&'static str, &'a str>,
    enable_custom_actions: bool,
}

/// Both forms of a story. `number` tells the messages of a run apart.
pub(super) fn message(
    story: &Story,
    report: &Report,
    function: &'static str,
    log_group: &str,
    number: usize,
) -> Message {
    let headline = cut(&story.headline, MOST_TEXT);
    let place = format!("{}, {}, {}", function, report.region, report.account);
    let told = story.lines.iter().take(MOST_LINES);
    let mut lines: Vec<String> = told.map(|line| cut(line, MOST_TEXT)).collect();
    if let Some(more @ 1..) = story.lines.len().checked_sub(MOST_LINES) {
        lines.push(format!("And {more} more; the log has them all."));
    }
    let next: Vec<String> = story
        .next
        .iter()
        .take(MOST_STEPS)
        .map(|step| cut(step, MOST_TEXT))
        .collect();

    let unit = cut(story.unit.as_deref().unwrap_or("run"), MOST_TEXT);
    let related = story.units.iter().take(MOST_RELATED);
    let chat = ChatNotification {
        version: "1.0",
        source: "custom",
        id: format!("{}-{number}", report.run_id),
        content: Content {
            text_type: "client-markdown",
            title: cut(&format!("{headline} ({place})"), MOST_TEXT),
            description: cut(&lines.join("\n"), MOST_DESCRIPTION),
            next_steps: next.clone(),
            keywords: vec!["steward", function, story.news.name()],
        },
        metadata: Metadata {
            // The same for every run's message about one thing, so that chat
            // groups them.
            thread_id: format!(
                "steward/{function}/{}/{}/{unit}",
                report.account, report.region
            ),
            summary: headline.clone(),
            event_type: format!("steward-{}", story.news.name().replace('_', "-")),
            related_resources: related.map(|unit| cut(unit, MOST_TEXT)).collect(),
            additional_context: BTreeMap::from([
                ("account", report.account.as_str()),
                ("function", function),
                ("operation", &report.operation),
                ("region", &report.region),
                ("runId", &report.run_id),
                ("unit", &unit),
            ]),
            enable_custom_actions: true,
        },
    };
    Message {
        subject: subject(&format!("{headline} ({place})")),
        text: text(&headline, &lines, &next, report, log_group),
        chat: harmless(serde_json::to_value(chat).unwrap_or_default()),
        news: story.news,
        about: story.about.clone(),
        things: story.things.clone(),
    }
}

/// Short lines, the most important first, what to do, and then from where.
fn text(
    headline: &str,
    lines: &[String],
    next: &[String],
    report: &Report,
    log_group: &str,
) -> String {
    let mut text = format!("{headline}\n\n{}\n", lines.join("\n"));
    if !next.is_empty() {
        text.push_str("\nWhat to do:\n");
        for step in next {
            text.push_str(&format!("- {step}\n"));
        }
    }
    let mode = report.mode.as_str();
    text.push_str(&format!(
        "\n{} {} ({mode})\nAccount {}, {}\nRun {}\n{}\n",
        report.function,
        report.operation,
        report.account,
        report.region,
        report.run_id,
        report.finished_at.strftime("%Y-%m-%d %H:%M UTC"),
    ));
    if !log_group.is_empty() {
        text.push_str(&format!("Log group {log_group}\n"));
    }
    text
}

/// Fit for the subject of an e-mail: ASCII in one line.
fn subject(text: &str) -> String {
    let ascii: String = text
        .chars()
        .map(|c| match c {
            ' '..='~' => c,
            c if c.is_whitespace() => ' ',
            _ => '?',
        })
        .collect();
    if ascii.len() <= MOST_SUBJECT {
        return ascii;
    }
    format!("{}...", &ascii[..MOST_SUBJECT - 3])
}

/// Angle brackets address people and channels in chat (`<!channel>`), and what
/// is told here quotes AWS and the names that others chose.
fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(
            text.chars()
                .map(|c| match c {
                    '<' => '‹',
                    '>' => '›',
                    '\n' => '\n',
                    c if c.is_control() => ' ',
                    c => c,
                })
                .collect(),
        ),
        Value::Array(list) => list.into_iter().map(harmless).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, harmless(v))).collect(),
        other => other,
    }
}

/// The first `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
