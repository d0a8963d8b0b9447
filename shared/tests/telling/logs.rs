//! Log lines: their shape, and what no level makes visible.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;
use steward::logs;
use tracing::subscriber::with_default;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `work` writes at this level.
fn lines(level: Option<&str>, work: impl FnOnce()) -> Vec<Value> {
    let paper = Paper::default();
    let subscriber = logs::subscriber("sleeper", "telling", level, paper.clone());
    with_default(subscriber, work);
    let written = paper.0.lock().unwrap().clone();
    let text = String::from_utf8(written).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect()
}

#[test]
fn a_line_has_the_keys_of_powertools_and_those_of_its_spans() {
    let lines = lines(None, || {
        let outer = tracing::error_span!("invocation", run.id = "r-1", cold_start = true, size = 1);
        let _outer = outer.enter();
        let inner = tracing::error_span!("inner", size = 128_u64, later = tracing::field::Empty);
        let _inner = inner.enter();
        inner.record("later", 0.5);
        tracing::warn!(action.kind = "nap", odd = ?Some("x"), "a {} line", "\"quoted\"\n");
    });
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "a \"quoted\"\n line");
    assert_eq!(line["service"], "sleeper");
    assert_eq!(line["run.id"], "r-1");
    assert_eq!(line["cold_start"], true);
    assert_eq!(line["size"], 128);
    assert_eq!(line["later"], 0.5);
    assert_eq!(line["action.kind"], "nap");
    assert_eq!(line["odd"], "Some(\"x\")");
    let location = line["location"].as_str().unwrap();
    assert!(location.starts_with("telling::logs:"), "{location}");
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.parse::<Timestamp>().is_ok(), "{time}");
    assert_eq!(time.len(), "2026-11-23T02:00:00.123Z".len(), "{time}");
}

#[test]
fn the_level_is_one_of_lambdas_words() {
    let all = || {
        tracing::trace!("trace");
        tracing::debug!("debug");
        tracing::info!("info");
        tracing::warn!("warn");
        tracing::error!("error");
    };
    let every = ["trace", "debug", "info", "warn", "error"];
    for (word, first) in [
        (None, 2),
        (Some(""), 2),
        (Some("TRACE"), 0),
        (Some("debug"), 1),
        (Some(" Info "), 2),
        (Some("WARN"), 3),
        (Some("error"), 4),
        (Some("FATAL"), 4),
        (Some("trace,aws_smithy_runtime=trace"), 2),
        (Some("nonsense"), 2),
    ] {
        assert_eq!(messages(&lines(word, all)), every[first..], "{word:?}");
    }
}

#[test]
fn no_level_shows_what_the_sdk_writes_at_trace() {
    let speak = || {
        tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a request, whole");
        tracing::debug!(target: "aws_config::profile", "a profile, whole");
        tracing::info!(target: "hyper_util", "a connection");
        tracing::warn!(target: "aws_runtime", "a clock is wrong");
        tracing::trace!("ours");
    };
    for word in [
        "trace",
        "TRACE",
        "debug",
        "aws_smithy_runtime=trace",
        "aws_smithy_runtime::client::orchestrator=trace,info",
        "[]=trace",
    ] {
        let lines = lines(Some(word), speak);
        let heard = messages(&lines);
        assert!(
            !heard.iter().any(|m| m.contains("whole")),
            "{word}: {heard:?}"
        );
        assert!(!heard.contains(&"a connection"), "{word}: {heard:?}");
        assert!(heard.contains(&"a clock is wrong"), "{word}: {heard:?}");
    }
    assert!(messages(&lines(Some("trace"), speak)).contains(&"ours"));
}
