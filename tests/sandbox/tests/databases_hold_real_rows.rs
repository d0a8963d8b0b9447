//! A database is lost for real, and its rows come back with a snapshot of it.

use anyhow::{Context, Result};
use aws_sdk_rds::types::{ApplyMethod, DbInstance, Parameter};
use jiff::Timestamp;
use serde_json::{Value, json};
use steward_sandbox::{Account, Database, Parts, Sandbox, Visit, seed};

const HEALTH: &str = "/api/health";

/// What the web application answers while it reaches its database.
fn well(orders: u32) -> Visit {
    let body = json!({"status": "ok", "database": "shop", "rows": {"orders": orders}});
    Visit { status: 200, body }
}

async fn newest_order(database: &Database) -> Result<Value> {
    let rows = database
        .sql("SELECT id, placed_at::text FROM orders ORDER BY id DESC LIMIT 1")
        .await?;
    rows.into_iter().next().map(Value::from).context("no order")
}

/// Restores a snapshot beside what there is, as the reference system needs it.
async fn restore(account: &Account, system: &seed::System, name: &str) -> Result<Database> {
    account
        .rds()
        .restore_db_instance_from_db_snapshot()
        .db_instance_identifier(name)
        .db_snapshot_identifier("last")
        .db_subnet_group_name("shop")
        .vpc_security_group_ids(&system.network.security_groups.database)
        .publicly_accessible(false)
        .send()
        .await?;
    account.existing_database(name).await
}

async fn modify(
    database: &Database,
    change: impl FnOnce(
        aws_sdk_rds::operation::modify_db_instance::builders::ModifyDBInstanceFluentBuilder,
    )
        -> aws_sdk_rds::operation::modify_db_instance::builders::ModifyDBInstanceFluentBuilder,
) -> Result<()> {
    let rds = database.account().rds();
    let request = rds.modify_db_instance().apply_immediately(true);
    change(request.db_instance_identifier(database.identifier()))
        .send()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_database_is_lost_and_its_rows_come_back_with_the_application() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let now: Timestamp = "2026-11-20T09:00:00Z".parse()?;
    let reference = seed::reference_system(&account, now).await?;
    let system = &reference.system;
    let database = seed::bring_to_life(&account, &reference, 3).await?;
    let control = account.control();
    assert_eq!(control.visit("shop", HEALTH).await?, well(3));

    let before = newest_order(&database).await?;
    database.snapshot("last", &[]).await?;
    database.sql("INSERT INTO orders VALUES (4)").await?;
    assert_eq!(control.visit("shop", HEALTH).await?, well(4));
    modify(&database, |request| request.deletion_protection(false)).await?;
    database.delete().await?;
    assert_eq!(control.visit("shop", HEALTH).await?.status, 503);
    assert!(database.sql("SELECT 1").await.is_err());

    let restored = restore(&account, system, "shop-restored").await?;
    assert_eq!(newest_order(&restored).await?, before);
    let described = restored.describe().await?;
    assert!(
        described.master_user_secret().is_none(),
        "it comes without a managed secret"
    );
    modify(&restored, |request| {
        request.manage_master_user_password(true)
    })
    .await?;
    let (secret, _) = restored.managed_credentials().await?;
    let web = &reference.web;
    let image = format!("{}/shop/web@{}", account.registry(), web.running.index);
    let task_definition = account
        .application("web", &image, &restored.connection().await?, &secret)
        .await?;
    account
        .ecs()
        .update_service()
        .cluster(&system.cluster)
        .service(&web.service)
        .task_definition(task_definition)
        .send()
        .await?;
    control.settle().await?;
    assert_eq!(control.visit("shop", HEALTH).await?, well(3));
    Ok(())
}

#[tokio::test]
async fn names_are_swapped_and_the_endpoint_stays() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let database = account.database("db", &[]).await?;
    let connection = database.make_real().await?;
    database.sql("CREATE TABLE t AS SELECT 1 AS n").await?;
    database.snapshot("s", &[]).await?;
    account
        .rds()
        .restore_db_instance_from_db_snapshot()
        .db_instance_identifier("new")
        .db_snapshot_identifier("s")
        .send()
        .await?;
    let restored = account.existing_database("new").await?;
    restored.sql("UPDATE t SET n = 2").await?;
    modify(&database, |request| {
        request.new_db_instance_identifier("old")
    })
    .await?;
    modify(&restored, |request| {
        request.new_db_instance_identifier("db")
    })
    .await?;

    let renamed = account.existing_database("db").await?;
    assert_eq!(renamed.resource_id(), restored.resource_id());
    assert_eq!(renamed.connection().await?, connection);
    assert_eq!(renamed.sql("SELECT n FROM t").await?, [[json!(2)]]);
    let old = account.existing_database("old").await?;
    assert_eq!(old.sql("SELECT n FROM t").await?, [[json!(1)]]);
    Ok(())
}

/// What time it is for a database.
async fn time_of(database: &Database) -> Result<Timestamp> {
    let rows = database.sql("SELECT clock_timestamp()::text").await?;
    let text = rows[0][0].as_str().context("no time")?;
    Ok(text.parse()?)
}

#[tokio::test]
async fn rows_are_those_of_a_point_in_time() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let database = account.database("db", &[]).await?;
    database.make_real().await?;
    database.sql("CREATE TABLE t AS SELECT 1 AS n").await?;
    let moment = time_of(&database).await?;
    database.sql("UPDATE t SET n = 2").await?;
    database.restorable_until(time_of(&database).await?).await?;
    let moment = aws_sdk_rds::primitives::DateTime::from_nanos(moment.as_nanosecond())?;
    account
        .rds()
        .restore_db_instance_to_point_in_time()
        .source_db_instance_identifier("db")
        .target_db_instance_identifier("new")
        .restore_time(moment)
        .send()
        .await?;
    let restored = account.existing_database("new").await?;
    assert_eq!(restored.sql("SELECT n FROM t").await?, [[json!(1)]]);
    Ok(())
}

#[tokio::test]
async fn a_restore_loses_settings_and_can_end_badly() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let rds = account.rds();
    rds.create_db_parameter_group()
        .db_parameter_group_name("own")
        .db_parameter_group_family("postgres15")
        .description("d")
        .send()
        .await?;
    let database = account
        .database_with("db", &[("steward:hold", "yes")], |request| {
            request
                .db_parameter_group_name("own")
                .deletion_protection(true)
                .multi_az(true)
        })
        .await?;
    database.snapshot("s", &[]).await?;
    let restore = |name: &str| {
        rds.restore_db_instance_from_db_snapshot()
            .db_instance_identifier(name)
            .db_snapshot_identifier("s")
            .send()
    };
    restore("new").await?;
    let restored = account.existing_database("new").await?.describe().await?;
    assert_eq!(restored.deletion_protection(), Some(false));
    assert_eq!(restored.multi_az(), Some(false));
    assert_eq!(restored.publicly_accessible(), Some(true));
    assert_eq!(
        parameter_group(&restored),
        Some(("default.postgres15", "in-sync"))
    );
    assert_eq!(restored.tag_list()[0].key(), Some("steward:hold"));

    let control = account.control();
    control.put_outcome("bad", "incompatible-restore").await?;
    restore("bad").await?;
    let bad = account.existing_database("bad").await?;
    assert_eq!(bad.status().await?, "incompatible-restore");
    Ok(())
}

#[tokio::test]
async fn static_parameters_wait_for_a_reboot() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let rds = account.rds();
    rds.create_db_parameter_group()
        .db_parameter_group_name("own")
        .db_parameter_group_family("postgres15")
        .description("d")
        .send()
        .await?;
    let database = account
        .database_with("db", &[], |request| request.db_parameter_group_name("own"))
        .await?;
    let parameter = Parameter::builder()
        .parameter_name("max_connections")
        .parameter_value("50")
        .apply_method(ApplyMethod::PendingReboot);
    rds.modify_db_parameter_group()
        .db_parameter_group_name("own")
        .parameters(parameter.build())
        .send()
        .await?;
    let described = database.describe().await?;
    assert_eq!(parameter_group(&described), Some(("own", "pending-reboot")));
    rds.reboot_db_instance()
        .db_instance_identifier("db")
        .send()
        .await?;
    let described = database.describe().await?;
    assert_eq!(parameter_group(&described), Some(("own", "in-sync")));
    Ok(())
}

fn parameter_group(instance: &DbInstance) -> Option<(&str, &str)> {
    let group = instance.db_parameter_groups().first()?;
    Some((
        group.db_parameter_group_name()?,
        group.parameter_apply_status()?,
    ))
}

#[tokio::test]
async fn a_sandbox_that_ends_takes_its_databases_with_it() -> Result<()> {
    let sandbox = Sandbox::start(Parts::Moto)?;
    let account = sandbox.account();
    let connection = account.database("db", &[]).await?.make_real().await?;
    let endpoint = (connection.host.as_str(), connection.port);
    std::net::TcpStream::connect(endpoint).context("its endpoint answers")?;
    let directory = sandbox.run_directory().canonicalize()?;
    assert!(connection.authority.starts_with(&directory));

    drop(sandbox);

    assert!(std::net::TcpStream::connect(endpoint).is_err());
    assert!(!directory.exists());
    Ok(())
}
