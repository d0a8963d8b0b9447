//! `cargo sandbox`: keeps an AWS up to play with.

use anyhow::{Context, Result};
use jiff::Timestamp;
use steward_sandbox::deploy;
use steward_sandbox::seed::{self, Reference};
use steward_sandbox::{Account, Parts, Progress, Sandbox};

use crate::build::{self, Binaries};
use crate::show::Stage;

/// Starts everything, prints what to export, and waits for ever.
pub(crate) async fn up(stage: &Stage, bare: bool) -> Result<()> {
    let sandbox = start().await?;
    let account = sandbox.default_account();
    if bare {
        stage.title("An empty AWS is up on this machine.")?;
    } else {
        let reference = seed(&account).await?;
        stage.title("An AWS is up on this machine.")?;
        describe(stage, &account, &reference).await?;
        match build_binaries().await {
            Ok(binaries) => {
                deploy_automation(&account, &binaries, &[]).await?;
                stage.say(
                    "infra/automation.yaml is deployed: functions steward-image-pruning,\n\
                     steward-snapshot-rotation, steward-scheduled-scaling and\n\
                     steward-alarm-remediation with their roles, schedules, topic, ledger\n\
                     and alarms, in plan mode.",
                )?;
            }
            Err(error) => stage.say(format!("The automation is not deployed: {error:#}."))?,
        }
    }
    stage.title("To talk to it, in another terminal:")?;
    for (name, value) in account.env() {
        stage.say(format!("export {name}={value}"))?;
    }
    if !bare {
        stage.title("And then, for example:")?;
        stage.say("cargo run --quiet --bin steward -- image-pruning plan")?;
        stage.say("cargo run --quiet --bin steward -- snapshot-rotation plan")?;
        stage.say(
            "aws ecr describe-images --repository-name shop/web --query 'imageDetails[].imageTags[]'",
        )?;
        // Lambda is in both emulators, and the one that runs functions is not
        // the one that `AWS_ENDPOINT_URL_LAMBDA` names.
        stage.say(
            "aws lambda invoke --endpoint-url $AWS_ENDPOINT_URL --function-name steward-image-pruning /dev/stdout",
        )?;
    }
    stage.say("\nCtrl-C stops it, and nothing of it is kept.")?;
    std::future::pending().await
}

/// Starts both emulators; installs them first if need be.
pub(crate) async fn start() -> Result<Sandbox> {
    tokio::task::spawn_blocking(|| -> Result<Sandbox> {
        // The installation shows its own progress.
        steward_sandbox::install::ensure()?;
        let progress = Progress::start("Starting the emulators");
        let sandbox = Sandbox::start(Parts::Both);
        progress.clear();
        Ok(sandbox?)
    })
    .await
    .context("the start was interrupted")?
}

/// Seeds the reference system as it is now.
pub(crate) async fn seed(account: &Account) -> Result<Reference> {
    let progress = Progress::start("Seeding the reference system");
    let seeded = seed::reference_system(account, now()).await;
    progress.clear();
    seeded.context("cannot seed the reference system")
}

/// Builds the functions and the command line; Cargo shows its own progress.
pub(crate) async fn build_binaries() -> Result<Binaries> {
    tokio::task::spawn_blocking(build::binaries)
        .await
        .context("the build was interrupted")?
}

/// Deploys the automation stack, in plan mode unless its parameters say
/// otherwise, or updates it.
pub(crate) async fn deploy_automation(
    account: &Account,
    binaries: &Binaries,
    parameters: &[(&str, &str)],
) -> Result<deploy::Deployment> {
    let progress = Progress::start("Deploying infra/automation.yaml");
    let deployed = deploy::automation(account, &binaries.packages(), parameters).await;
    progress.clear();
    deployed
}

/// What the account holds, in a few lines.
pub(crate) async fn describe(
    stage: &Stage,
    account: &Account,
    reference: &Reference,
) -> Result<()> {
    let mut images = 0;
    for repository in reference.repositories() {
        images += account
            .existing_repository(repository)
            .digests()
            .await?
            .len();
    }
    stage.say(format!(
        "Account {} holds the reference system: a load balancer, cluster `{}` with three\n\
         services (one in the middle of a deployment, one pinned to a digest, one scaled to zero),\n\
         a nightly task, a Lambda function from an image, database `{}`, secrets and alarms.\n\
         Its {} repositories hold {images} images, eight months of them.",
        account.id(),
        reference.system.cluster,
        reference.system.database,
        reference.repositories().len(),
    ))
}

/// The present. Everything below takes it as a parameter.
#[expect(
    clippy::disallowed_methods,
    reason = "A person's sandbox is seeded as of today."
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
