//! The meter as a client of the SDK meets it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "this file needs a part of it")]
mod canned;

use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use steward::aws::{self, ErrorKind, Meter};

use canned::{Answer, Canned};

const THROTTLED: &str = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;

/// An SSM client that tries three times, counted by `meter`.
fn ssm(meter: &Meter, answers: &Canned) -> aws_sdk_ssm::Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(1));
    let config = answers
        .config()
        .to_builder()
        .http_client(meter.around(answers.clone()))
        .retry_config(retries)
        .sleep_impl(aws_sdk_ssm::config::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .build();
    aws_sdk_ssm::Client::new(&config)
}

#[tokio::test]
async fn counts_attempts_that_a_retry_made_good() {
    let meter = Meter::default();
    let answers = Canned::by(|n, _| match n {
        0 | 1 => Answer::Reply(400, THROTTLED.to_owned()),
        _ => Answer::Reply(200, r#"{"Parameters":[]}"#.to_owned()),
    });
    let ssm = ssm(&meter, &answers);
    ssm.get_parameters().names("/one").send().await.unwrap();
    assert_eq!((meter.calls(), meter.throttles()), (3, 2));
    assert_eq!(meter.throttles_of("ssm"), 2);
    assert_eq!(meter.throttles_of("ecs"), 0);
}

#[tokio::test]
async fn leaves_errors_as_they_are() {
    let meter = Meter::default();
    let denied = r#"{"__type":"AccessDeniedException","message":"not you"}"#;
    let answers = Canned::by(move |_, _| Answer::Reply(400, denied.to_owned()));
    let request = ssm(&meter, &answers).get_parameters().names("/one");
    let error = request.send().await.expect_err("it is denied");
    assert_eq!(aws::kind(&error), ErrorKind::Denied);
    assert_eq!(aws::explain(&error), "AccessDeniedException: not you");
    assert_eq!((meter.calls(), meter.throttles()), (1, 0));
}
