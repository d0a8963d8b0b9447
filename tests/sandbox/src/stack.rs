//! The templates of `infra/`, deployed into the sandbox's CloudFormation.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::account::Account;
use crate::{install, paths};

/// A template and what it is given.
#[derive(Clone, Debug)]
pub struct Stack<'a> {
    /// The stack's name.
    pub name: &'a str,
    /// The template's file name in `infra/`.
    pub template: &'a str,
    /// By function its executable, or the zip that `cargo lambda build` makes. A
    /// function without one is deployed and cannot run.
    pub packages: &'a [(&'a str, &'a Path)],
    /// Parameters that are not left at their defaults.
    pub parameters: &'a [(&'a str, &'a str)],
}

impl Account {
    /// Deploys a stack, or updates the one of its name, and answers its
    /// outputs.
    ///
    /// What the sandbox's CloudFormation does not know is left out;
    /// `infra/tests/deploy.py` has the list.
    ///
    /// # Errors
    /// When the template or a resource is refused, with what was said.
    pub async fn deploy_stack(&self, stack: &Stack<'_>) -> Result<BTreeMap<String, String>> {
        let endpoint = self.endpoints().ministack();
        let mut python = Command::new(install::ensure()?.python());
        python
            .arg(paths::templates().join("tests/deploy.py"))
            .args(["--endpoint", endpoint.context("no ministack to deploy to")?])
            .args(["--account", self.id(), "--region", self.region_name()])
            .args(["--stack", stack.name, "--template", stack.template])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        for (function, package) in stack.packages {
            let package = package
                .to_str()
                .context("a package whose path is no text")?;
            python.args(["--package", &format!("{function}={package}")]);
        }
        for (name, value) in stack.parameters {
            python.arg(format!("{name}={value}"));
        }
        let output = tokio::task::spawn_blocking(move || python.output())
            .await
            .context("the deployment was interrupted")?
            .context("cannot run the deployment")?;
        if !output.status.success() {
            bail!(
                "cannot deploy {}: {}",
                stack.name,
                install::tail(&String::from_utf8_lossy(&output.stderr), 10)
            );
        }
        serde_json::from_slice(&output.stdout).context("outputs that are no JSON")
    }
}
