//! `steward report`: a saved report, shown as on the day.

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ArgMatches;
use serde_json::Value;
use steward::report::Report;

use crate::exit::{Exit, Failure};
use crate::files;
use crate::show::{self, Look};
use crate::terminal::{Terminal, print};

/// `steward report FILE`: shows it, and ends as the run did that it tells of.
pub(crate) fn show(matches: &ArgMatches, terminal: &Terminal) -> Result<Exit, Failure> {
    let path = matches
        .get_one::<String>("file")
        .map_or("-", String::as_str);
    let report = files::read(path)
        .and_then(|text| parse(&text))
        .with_context(|| format!("report {path}"))
        .map_err(Failure::usage)?;
    let look = Look {
        width: terminal.width,
        colours: terminal.colours,
        all: matches.get_flag("all"),
    };
    print(&show::show(&report, &look, None))
        .context("the report cannot be written to standard output")
        .map_err(Failure::failed)?;
    Ok(Exit::of(&report, false))
}

/// The report in a text: alone, or in the record of a Lambda destination.
fn parse(text: &str) -> Result<Report> {
    let value: Value = serde_json::from_str(text).context("is not JSON")?;
    let value = match value {
        Value::Object(mut record) if record.contains_key("responsePayload") => {
            record.remove("responsePayload").unwrap_or_default()
        }
        other => other,
    };
    if let Some(message) = value.get("errorMessage").and_then(Value::as_str) {
        let kind = value
            .get("errorType")
            .and_then(Value::as_str)
            .unwrap_or("error");
        bail!("is no report: the function ended with {kind}: {message}");
    }
    match value.get("schema_version") {
        Some(version) if version.as_u64() == Some(1) => {}
        Some(version) => bail!("schema_version: {version} is not known; known is 1"),
        None => bail!(
            "is no report: expected the output of --json, the answer of a Lambda function, or the \
             record of a Lambda destination"
        ),
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| anyhow!("is no report: {}: {}", error.path(), error.inner()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::show::tests::report;

    #[test]
    fn reads_a_report_alone_and_in_the_record_of_a_destination() {
        let report = report();
        let alone = serde_json::to_value(&report).unwrap();
        assert_eq!(parse(&alone.to_string()).unwrap(), report);
        // AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous
        // invocations".
        let record = json!({
            "version": "1.0",
            "timestamp": "2026-11-22T12:00:00.000Z",
            "requestContext": { "condition": "Success", "approximateInvokeCount": 1 },
            "requestPayload": {},
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST" },
            "responsePayload": alone
        });
        assert_eq!(parse(&record.to_string()).unwrap(), report);
    }

    #[test]
    fn says_what_is_wrong_with_anything_else() {
        let mut newer = serde_json::to_value(report()).unwrap();
        newer["schema_version"] = json!(2);
        let mut broken = serde_json::to_value(report()).unwrap();
        broken["actions"] = json!([{ "kind": 5 }]);
        let error = json!({ "errorType": "InvalidPolicy", "errorMessage": "no such key" });
        for (text, message) in [
            ("{".to_owned(), "is not JSON: EOF"),
            ("[]".to_owned(), "is no report: expected"),
            (newer.to_string(), "schema_version: 2 is not known"),
            (
                broken.to_string(),
                "is no report: actions[0].kind: invalid type",
            ),
            (error.to_string(), "ended with InvalidPolicy: no such key"),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
