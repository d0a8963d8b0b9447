//! Log lines: one JSON object in each line of standard output, with the keys of
//! Powertools for AWS Lambda. `docs/logging.md` lists every line and field.
//!
//! No level makes the SDK's own lines visible: at `trace` they hold whole
//! requests and answers, a decrypted parameter among them.

use std::io::{Stdout, Write, stdout};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

use crate::engine::Clock;
use crate::report::ActionLine;

/// The most that crates which are not ours may log.
const OF_OTHERS: LevelFilter = LevelFilter::WARN;

/// Lines to standard output from now on. `level` is one of `TRACE`, `DEBUG`,
/// `INFO`, `WARN`, `ERROR` and `FATAL`, in any case ("Configuring JSON and
/// plain text log formats", AWS Lambda Developer Guide); anything else counts
/// as `INFO`.
pub fn init(service: &'static str, own_crate: &str, level: Option<&str>) {
    // A second subscriber, as in tests, is refused, and the first one serves.
    let _ = subscriber(service, own_crate, level, stdout()).try_init();
}

/// What [`init`] sets up, with another place for the lines to go.
pub fn subscriber<W: Write + Send + 'static>(
    service: &'static str,
    own_crate: &str,
    level: Option<&str>,
    write: W,
) -> impl Subscriber + Send + Sync + for<'a> LookupSpan<'a> {
    let own = level_of(level);
    let targets = Targets::new()
        .with_default(own.min(OF_OTHERS))
        .with_target(env!("CARGO_CRATE_NAME"), own)
        .with_target(own_crate, own);
    let lines = JsonLines {
        service,
        write: Mutex::new(write),
    };
    Registry::default().with(lines.with_filter(targets))
}

fn level_of(word: Option<&str>) -> LevelFilter {
    match word.unwrap_or_default().trim().to_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        // Nothing of ours is worse than an error.
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

/// A line that is no event of `tracing`: no level holds it back.
pub(crate) fn write_line(fields: &Map<String, Value>) {
    write_actions(fields, &[]);
}

/// The same with actions of a report, written as they stand there.
pub(crate) fn write_actions(fields: &Map<String, Value>, actions: &[ActionLine]) {
    let line = Line {
        level: Level::INFO.as_str(),
        timestamp: now(),
        fields,
        actions,
    };
    put(&mut stdout(), &line);
}

/// One line. What every line has comes first.
#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    timestamp: String,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "<[ActionLine]>::is_empty")]
    actions: &'a [ActionLine],
}

/// With milliseconds, which is what Lambda's own lines have.
fn now() -> String {
    format!("{:.3}", Clock::System.now())
}

/// Writes a whole line at once, so that lines do not mix.
fn put(write: &mut impl Write, line: &Line<'_>) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // There is nowhere else to say that nothing can be said.
        let _ = write.write_all(&text).and_then(|()| write.flush());
    }
}

struct JsonLines<W = Stdout> {
    service: &'static str,
    write: Mutex<W>,
}

/// Fields of an event or a span.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(of_span)) = span.extensions().get::<Fields>() {
                // An inner span's word counts before an outer one's.
                for (name, value) in of_span {
                    fields
                        .0
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut fields);
        fields.0.insert("service".to_owned(), self.service.into());
        let place = metadata.module_path().unwrap_or(metadata.target());
        let location = match metadata.line() {
            Some(line) => format!("{place}:{line}"),
            None => place.to_owned(),
        };
        fields.0.insert("location".to_owned(), location.into());
        let line = Line {
            level: metadata.level().as_str(),
            timestamp: now(),
            fields: &fields.0,
            actions: &[],
        };
        if let Ok(mut write) = self.write.lock() {
            put(&mut *write, &line);
        }
    }
}
