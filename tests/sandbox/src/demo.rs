//! `cargo demo`: the functions at work on the reference system, from a first plan
//! to the proof that nothing was lost that anybody needs. Of image-pruning here,
//! of snapshot-rotation in `rotation`, of scheduled-scaling in `scaling`, and of
//! alarm-remediation in `remediation`.

mod remediation;
mod rotation;
mod scaling;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;
use steward_sandbox::deploy::Function;
use steward_sandbox::seed::{InUse, Reference, ReleaseImages};
use steward_sandbox::{Account, Mailbox, Progress};

use crate::show::Stage;
use crate::up;

/// What the team allows at first.
const FIRST_POLICY: &str = include_str!("demo/first-policy.yaml");
/// What it allows after having seen the refusal.
const SECOND_POLICY: &str = include_str!("demo/second-policy.yaml");

/// What the role may change; the policy chooses among them.
const EVERY_REPOSITORY: (&str, &str) = ("ImagePruningRepositories", "*");

/// Plays the whole demonstration.
pub(crate) async fn demo(stage: &Stage, packages: Vec<(String, PathBuf)>) -> Result<()> {
    let mut binaries = up::build_binaries().await?;
    for (function, package) in packages {
        binaries.replace(&function, package)?;
    }
    let sandbox = up::start().await?;
    let account = sandbox.default_account();
    let reference = up::seed(&account).await?;
    stage.title("An AWS on this machine")?;
    up::describe(stage, &account, &reference).await?;

    let automation = up::deploy_automation(
        &account,
        &binaries,
        &[
            ("ImagePruningMode", "plan"),
            ("ImagePruningPolicy", FIRST_POLICY),
            EVERY_REPOSITORY,
        ],
    )
    .await?;
    let function = automation.function("image-pruning")?;
    let mailbox = Mailbox::of(&account, automation.output("TopicArn")?, "steward-people").await?;
    stage.title("1. The schedule fires, in plan mode")?;
    stage.say(format!(
        "infra/automation.yaml is deployed as for real, with the real Lambda binary. Its\n\
         EventBridge schedule fires. Its policy:\n\n{}",
        indented(FIRST_POLICY)
    ))?;
    let run = fire(function).await?;
    stage.report(&binaries.steward, &run)?;

    stage.title("2. What it refuses")?;
    refusals(stage, &run)?;
    stage.say(format!(
        "It deletes nothing while its own leash, {}, says plan:",
        stage.strong("STEWARD_MODE")
    ))?;
    stage.say("an event that asks for more is refused, not quietly done in part.\n")?;
    let asked = function
        .invoke(&serde_json::json!({"operation": "prune", "mode": "apply"}))
        .await?;
    ensure!(
        asked["status"] == "refused",
        "asked for more than its leash, it answered {}",
        asked
    );
    stage.report(&binaries.steward, &asked)?;

    stage.title("3. The team agrees, and raises the leash")?;
    stage.say(format!(
        "The stack is updated with {}, which gives its role the right to\n\
         delete, and with a policy that leaves the base images alone, and archives what a\n\
         person might still want of the admin tool:\n\n{}",
        stage.strong("ImagePruningMode=apply"),
        indented(SECOND_POLICY)
    ))?;
    let parameters = [
        ("ImagePruningMode", "apply"),
        ("ImagePruningPolicy", SECOND_POLICY),
        EVERY_REPOSITORY,
    ];
    let automation = up::deploy_automation(&account, &binaries, &parameters).await?;
    let function = automation.function("image-pruning")?;
    // What the plans refused was told as well.
    mailbox.read(0).await?;
    let before = counts(&account, &reference).await?;
    let run = fire(function).await?;
    stage.report(&binaries.steward, &run)?;
    let after = counts(&account, &reference).await?;

    stage.title("4. What people hear of it")?;
    stage.say(format!(
        "The stack's topic ({}) tells subscribers by e-mail and in chat. As an e-mail:\n",
        stage.strong("STEWARD_NOTIFY_TOPIC")
    ))?;
    letters(stage, &mailbox).await?;

    stage.title("5. The schedule fires again")?;
    let again = fire(function).await?;
    stage.report(&binaries.steward, &again)?;

    stage.title("6. The proof, read from the registry itself")?;
    for (repository, before) in &before {
        let after = after.get(repository).copied().unwrap_or_default();
        let archived = account.existing_repository(repository).archived().await?;
        let archived = match archived.len() {
            0 => String::new(),
            archived => format!(", {archived} in the archive"),
        };
        stage.say(format!(
            "  {repository:<14} {before:>4} images before, {after:>4} now{archived}"
        ))?;
    }
    stage.say("")?;
    let web = &reference.web;
    let signature = web.signatures.first();
    release(
        stage,
        &account,
        &reference,
        "it runs",
        &web.running,
        signature,
    )
    .await?;
    if let Some(oldest) = web.releases.first() {
        let signature = Some(&web.old_signature);
        release(
            stage,
            &account,
            &reference,
            "nothing uses it",
            oldest,
            signature,
        )
        .await?;
    }
    stage.say("")?;
    let lost = prove(stage, &account, &reference).await?;
    ensure!(lost.is_empty(), "images in use are gone: {lost:?}");
    stage.say("\nEverything that runs, is deployed, or is scaled to zero still has its image.")?;

    rotation::nights(
        stage,
        &account,
        &reference,
        &binaries,
        &automation,
        &parameters,
    )
    .await?;
    scaling::evening_and_morning(stage, &account, &reference.system, &binaries, &parameters)
        .await?;
    remediation::bad_release(
        stage,
        &account,
        &reference.system,
        &binaries,
        &mailbox,
        &parameters,
    )
    .await?;
    stage.say("The sandbox stops now, and nothing of it is kept. `cargo sandbox` keeps one up to try more.")
}

/// Makes the schedule fire, and waits for the run's report.
async fn fire(function: &Function) -> Result<Value> {
    let progress = Progress::start("Waiting for EventBridge to fire the schedule");
    let run = function.fire_schedule(up::now()).await;
    progress.clear();
    let run = run?;
    ensure!(
        run["trigger"] == "schedule",
        "a run that a schedule started says {}",
        run["trigger"]
    );
    Ok(run)
}

/// What people were told since the last look.
async fn letters(stage: &Stage, mailbox: &Mailbox) -> Result<()> {
    let letters = mailbox.read(1).await?;
    ensure!(!letters.is_empty(), "nobody was told of the run");
    for letter in letters {
        let letter = format!("Subject: {}\n\n{}", letter.subject, letter.text);
        stage.say(indented(&letter))?;
    }
    stage.say("")
}

/// The guards that said no, from the report.
fn refusals(stage: &Stage, run: &Value) -> Result<()> {
    let refusals = run["refusals"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ensure!(
        !refusals.is_empty(),
        "the base images should have been refused: {}",
        run
    );
    for refusal in refusals {
        let text = |key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
        stage.say(format!(
            "  {} ({}): {}",
            stage.strong(&text("unit")),
            text("guard"),
            text("detail")
        ))?;
    }
    stage.say("")
}

/// Shows that a release lives and dies with all its parts.
async fn release(
    stage: &Stage,
    account: &Account,
    reference: &Reference,
    how: &str,
    release: &ReleaseImages,
    signature: Option<&String>,
) -> Result<()> {
    let repository = &reference.web.repository;
    let present = account.existing_repository(repository).digests().await?;
    let there = |digest: &str| present.iter().any(|present| present == digest);
    let parts: Vec<String> = [
        ("index", vec![&release.index]),
        ("platform", release.platforms.iter().collect()),
        ("attestation", release.attestations.iter().collect()),
        ("signature", signature.into_iter().collect()),
    ]
    .into_iter()
    .map(|(part, digests)| {
        let left = digests.iter().filter(|digest| there(digest)).count();
        format!("{part} {left} of {}", digests.len())
    })
    .collect();
    stage.say(format!(
        "  {repository}:{} ({how}): {} there",
        release.tag,
        parts.join(", ")
    ))
}

async fn counts(account: &Account, reference: &Reference) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for repository in reference.repositories() {
        counts.insert(
            repository.to_owned(),
            account
                .existing_repository(repository)
                .digests()
                .await?
                .len(),
        );
    }
    Ok(counts)
}

/// Shows who depends on which image and whether it is there; answers what is
/// not.
async fn prove(stage: &Stage, account: &Account, reference: &Reference) -> Result<Vec<InUse>> {
    let mut of: BTreeMap<(String, String), Vec<InUse>> = BTreeMap::new();
    for used in reference.in_use() {
        of.entry((used.by.clone(), used.repository.clone()))
            .or_default()
            .push(used);
    }
    let mut lost = Vec::new();
    for ((by, repository), images) in of {
        let present = account.existing_repository(&repository).digests().await?;
        let (there, gone): (Vec<_>, Vec<_>) = images
            .into_iter()
            .partition(|used| present.contains(&used.digest));
        let verdict = match (there.len(), gone.len()) {
            (1, 0) => "image there".to_owned(),
            (there, 0) => format!("{there} images there"),
            (_, gone) => format!("{gone} images GONE"),
        };
        stage.say(format!("  {by:<48} {repository:<14} {verdict}"))?;
        lost.extend(gone);
    }
    Ok(lost)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
