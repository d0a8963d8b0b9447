//! Databases that are real servers, and task definitions of the web application
//! that answers from them.

use anyhow::{Context, Result};
use aws_sdk_ecs::types::{KeyValuePair, Secret};
use serde_json::{Value, json};

use super::{Database, container};
use crate::account::Account;
use crate::control::{Connection, Settings};

impl Account {
    /// Lets a web application run in every task from now on, which answers
    /// through load balancers and from its database.
    ///
    /// # Errors
    /// When the emulator cannot be reached.
    pub async fn run_applications(&self) -> Result<()> {
        let settings = Settings {
            ecs_applications: Some(true),
            ..Settings::default()
        };
        Ok(self.control().settings(&settings).await?)
    }

    /// Makes a secret that holds the name and password of a user, and answers
    /// its ARN.
    ///
    /// # Errors
    /// When Secrets Manager refuses.
    pub async fn credentials(&self, name: &str, user: &str, password: &str) -> Result<String> {
        let made = self
            .secretsmanager()
            .create_secret()
            .name(name)
            .secret_string(json!({"username": user, "password": password}).to_string())
            .send()
            .await
            .with_context(|| format!("cannot create secret {name}"))?;
        made.arn.context("a secret without an ARN")
    }

    /// Registers a revision of a task definition of the web application as
    /// `infra/architecture.yaml` has it: it is told where its database is, and
    /// has the members `username` and `password` of a secret. Answers its ARN.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn application(
        &self,
        family: &str,
        image: &str,
        database: &Connection,
        secret: &str,
    ) -> Result<String> {
        let told = [
            ("DATABASE_HOST", database.host.clone()),
            ("DATABASE_PORT", database.port.to_string()),
            ("DATABASE_NAME", database.database.clone()),
        ];
        let told =
            told.map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
        let mut secrets = Vec::new();
        for (name, member) in [
            ("DATABASE_USERNAME", "username"),
            ("DATABASE_PASSWORD", "password"),
        ] {
            let value_from = format!("{secret}:{member}::");
            secrets.push(
                Secret::builder()
                    .name(name)
                    .value_from(value_from)
                    .build()?,
            );
        }
        let container = container(family, image, self)
            .set_environment(Some(told.to_vec()))
            .set_secrets(Some(secrets));
        self.task_definition_with(family, container.build()).await
    }
}

impl Database {
    /// Lets it be a real server from now on, with its master user and nothing
    /// else in it.
    ///
    /// # Errors
    /// When it is not there any more, or real already.
    pub async fn make_real(&self) -> Result<Connection> {
        Ok(self
            .account()
            .control()
            .make_real(self.identifier())
            .await?)
    }

    /// Its endpoint and who gets in, if it is a real server.
    ///
    /// # Errors
    /// When it is not.
    pub async fn connection(&self) -> Result<Connection> {
        Ok(self
            .account()
            .control()
            .connection(self.identifier())
            .await?)
    }

    /// Runs a statement in it as its master user, and answers the rows.
    ///
    /// # Errors
    /// When it is not a real server, or refuses.
    pub async fn sql(&self, statement: &str) -> Result<Vec<Vec<Value>>> {
        let control = self.account().control();
        Ok(control.sql(self.identifier(), statement).await?.rows)
    }

    /// What is in the secret that RDS manages for its master user.
    ///
    /// # Errors
    /// When it manages none, or Secrets Manager does not answer.
    pub async fn managed_credentials(&self) -> Result<(String, Value)> {
        let managed = self.describe().await?.master_user_secret;
        let arn = managed.and_then(|secret| secret.secret_arn);
        let arn = arn.context("no managed secret")?;
        let secrets = self.account().secretsmanager();
        let value = secrets.get_secret_value().secret_id(&arn).send().await?;
        let text = value.secret_string.context("a secret without text")?;
        Ok((arn, serde_json::from_str(&text)?))
    }
}
