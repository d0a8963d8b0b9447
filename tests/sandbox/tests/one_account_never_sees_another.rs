//! Tests run side by side in one sandbox; each has an account of its own.

use anyhow::Result;
use steward_sandbox::Sandbox;

#[tokio::test]
async fn a_repository_exists_in_its_own_account_and_region_only() -> Result<()> {
    let sandbox = Sandbox::shared()?;
    let (mine, other) = (sandbox.account(), sandbox.account());
    assert_ne!(mine.id(), other.id());

    mine.ecr()
        .create_repository()
        .repository_name("shop/web")
        .send()
        .await?;

    let seen = mine.ecr().describe_repositories().send().await?;
    let [repository] = seen.repositories() else {
        panic!("one repository expected: {seen:?}")
    };
    assert_eq!(repository.registry_id(), Some(mine.id()));
    assert_eq!(
        repository.repository_uri(),
        Some(format!("{}/shop/web", mine.registry()).as_str())
    );
    for elsewhere in [
        other.ecr(),
        mine.region("eu-west-1").ecr(),
        sandbox.default_account().ecr(),
    ] {
        assert!(
            elsewhere
                .describe_repositories()
                .send()
                .await?
                .repositories()
                .is_empty()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_parameter_exists_in_its_own_account_only() -> Result<()> {
    let sandbox = Sandbox::shared()?;
    let (mine, other) = (sandbox.account(), sandbox.account());
    let parameter = aws_sdk_ssm::types::ParameterType::String;
    mine.ssm()
        .put_parameter()
        .name("/steward/kill-switch/all")
        .value("off")
        .r#type(parameter)
        .send()
        .await?;

    let seen = mine
        .ssm()
        .get_parameter()
        .name("/steward/kill-switch/all")
        .send()
        .await?;
    assert_eq!(
        seen.parameter().and_then(|found| found.value()),
        Some("off")
    );
    let elsewhere = other
        .ssm()
        .get_parameter()
        .name("/steward/kill-switch/all")
        .send()
        .await;
    assert!(
        elsewhere
            .unwrap_err()
            .into_service_error()
            .is_parameter_not_found()
    );
    Ok(())
}
