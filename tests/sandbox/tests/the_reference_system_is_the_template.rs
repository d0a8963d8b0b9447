//! The seeded system is the one that `infra/architecture.yaml` declares, so that
//! what works on one works on the other. What differs is listed with its reason
//! in `infra/tests/seeded.py`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use jiff::Timestamp;
use steward_sandbox::{Sandbox, install, seed};

#[tokio::test]
async fn the_seed_is_what_the_template_declares() -> Result<()> {
    let account = Sandbox::shared()?.account();
    seed::reference_system(&account, "2026-11-20T09:00:00Z".parse::<Timestamp>()?).await?;

    let output = Command::new(install::ensure()?.python())
        .args(["-m", "unittest", "seeded"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/tests"))
        .envs(account.env())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Ran 5 tests"), "{said}");
    Ok(())
}
