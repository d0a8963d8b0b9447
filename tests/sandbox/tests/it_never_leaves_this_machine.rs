//! A client that was pointed at AWS itself gets an error instead of a
//! connection.

use anyhow::Result;
use aws_smithy_types::error::display::DisplayErrorContext;
use steward_sandbox::Sandbox;

#[tokio::test]
async fn a_client_pointed_at_aws_is_refused_before_it_connects() -> Result<()> {
    let account = Sandbox::shared()?.account();
    for elsewhere in [
        "https://api.ecr.us-east-1.amazonaws.com",
        "http://203.0.113.7:5000",
    ] {
        let config = aws_sdk_ecr::config::Builder::from(&account.sdk_config())
            .endpoint_url(elsewhere)
            .build();
        let error = aws_sdk_ecr::Client::from_conf(config)
            .describe_repositories()
            .send()
            .await
            .unwrap_err();
        let message = DisplayErrorContext(&error).to_string();
        assert!(message.contains("not a loopback address"), "{message}");
        assert!(message.contains(elsewhere), "{message}");
    }
    assert!(account.control().calls().await?.is_empty());
    Ok(())
}
