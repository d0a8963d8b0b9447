//! `steward doctor`: the whole deployment, whole and with one thing broken at a
//! time.

use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic,
};
use aws_sdk_lambda::client::Waiters as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule, VersioningConfiguration,
};
use aws_sdk_ssm::types::ParameterType;
use serde_json::{Value, json};
use steward_sandbox::{Account, Fault};

use super::doctor::{about, role};
use super::{Desk, POLICY, desk, now, status, text};

const FUNCTION: &str = "steward-image-pruning";
const FUNCTIONS: [&str; 4] = [
    "image-pruning",
    "snapshot-rotation",
    "scheduled-scaling",
    "alarm-remediation",
];
const ROTATION: &str = "version: 1\nrules: [{name: shop, databases: {include: [shop]}}]\n";
const SCALING: &str = "version: 1\nschedules: {office: {periods: [{start: '07:00', stop: '19:00'}]}}\n\
                       environments: {shop-test: {schedules: [office]}}\n";
const REMEDIATION: &str = "version: 1\nalarms: {include: ['shop-*']}\n";
const RECOVERY: &str = "eu-west-1";

/// What `infra/automation.yaml` makes, as far as the doctor looks at it, whose
/// runs and messages arrive.
struct Deployed {
    desk: Desk,
    topic: String,
    queue: String,
    keys: Vec<String>,
}

async fn deployed(name: &str) -> Deployed {
    let desk = desk(name);
    desk.repository("shop/web", 5).await;
    let account = &desk.account;
    let topic = account.sns().create_topic().name("steward");
    let topic = topic.send().await.unwrap().topic_arn.unwrap();
    let queue = account.sqs().create_queue();
    let queue = queue.queue_name("steward-dead-letters").send().await;
    let queue = queue.unwrap().queue_url.unwrap();
    let database = account.rds().create_db_instance();
    let database = database.db_instance_identifier("shop").engine("postgres");
    let database = database.db_instance_class("db.t3.micro");
    let database = database.allocated_storage(20).master_username("shop");
    let database = database.master_user_password("not-a-secret");
    database.send().await.unwrap();
    for switch in ["all"].into_iter().chain(FUNCTIONS) {
        set(account, &format!("/steward/kill-switch/{switch}"), "off").await;
    }
    set(account, "/steward/policy/image-pruning", POLICY).await;
    set(account, "/steward/policy/snapshot-rotation", ROTATION).await;
    set(account, "/steward/policy/scheduled-scaling", SCALING).await;
    set(account, "/steward/policy/alarm-remediation", REMEDIATION).await;
    account.ledger_named("team-ledger").await.unwrap();
    let everything = json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}]);
    let role = role(&desk, "pruner", everything).await;
    let keys = vec![
        bucket(account).await,
        bucket(&account.region(RECOVERY)).await,
    ];
    // The smallest archive there is.
    let package = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let code = FunctionCode::builder().zip_file(Blob::new(package)).build();
    for function in FUNCTIONS {
        account
            .lambda_runtime()
            .create_function()
            .function_name(format!("steward-{function}"))
            .role(&role)
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .code(code.clone())
            .environment(environment(function, &topic, "apply"))
            .send()
            .await
            .unwrap();
        can_run(account, &format!("steward-{function}")).await;
    }
    let deployed = Deployed {
        topic,
        queue,
        keys,
        desk,
    };
    for alarm in ALARMS_OF_ALL {
        deployed.alarm(alarm).await;
    }
    for function in FUNCTIONS {
        for alarm in ALARMS_OF_EACH {
            deployed.alarm(&format!("{function}-{alarm}")).await;
        }
        deployed.ran(function, 26, 0.0).await;
        deployed.ran(function, 2, 0.0).await;
    }
    deployed.subscribe().await;
    deployed
}

const ALARMS_OF_ALL: [&str; 5] = [
    "dead-letters",
    "snapshot-rotation-objectives",
    "snapshot-rotation-copies",
    "snapshot-rotation-documents",
    "scheduled-scaling-steps",
];

const ALARMS_OF_EACH: [&str; 7] = [
    "errors",
    "throttles",
    "failed-actions",
    "failed-runs",
    "gaps",
    "untold",
    "overdue",
];

fn environment(function: &str, topic: &str, mode: &str) -> Environment {
    let policy = format!("ssm:/steward/policy/{function}");
    Environment::builder()
        .variables("STEWARD_MODE", mode)
        .variables("STEWARD_POLICY_FROM", policy)
        .variables("STEWARD_NOTIFY_TOPIC", topic)
        .variables("STEWARD_LEDGER", "team-ledger")
        .build()
}

/// Waits for what was made or changed of the function to hold.
async fn can_run(account: &Account, function: &str) {
    let lambda = account.lambda_runtime();
    let active = lambda
        .wait_until_function_active_v2()
        .function_name(function);
    active.wait(Duration::from_secs(20)).await.unwrap();
}

async fn set(account: &Account, name: &str, value: &str) {
    let parameter = account.ssm().put_parameter().name(name).value(value);
    let parameter = parameter.r#type(ParameterType::String).overwrite(true);
    parameter.send().await.unwrap();
}

/// The bucket of restore points in a Region, and its key.
async fn bucket(account: &Account) -> String {
    let name = bucket_name(account);
    let key = aws_sdk_kms::Client::new(&account.sdk_config()).create_key();
    let key = key.send().await.unwrap().key_metadata.unwrap().key_id;
    let bucket = account.s3().create_bucket().bucket(&name);
    let bucket = match account.region_name() {
        "us-east-1" => bucket,
        region => bucket.create_bucket_configuration(
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build(),
        ),
    };
    bucket.send().await.unwrap();
    versions(account, BucketVersioningStatus::Enabled).await;
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(&key);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default.build().unwrap());
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule.build());
    account
        .s3()
        .put_bucket_encryption()
        .bucket(&name)
        .server_side_encryption_configuration(rules.build().unwrap())
        .send()
        .await
        .unwrap();
    key
}

fn bucket_name(account: &Account) -> String {
    format!(
        "steward-restore-points-{}-{}",
        account.id(),
        account.region_name()
    )
}

async fn versions(account: &Account, status: BucketVersioningStatus) {
    let versions = VersioningConfiguration::builder().status(status).build();
    account
        .s3()
        .put_bucket_versioning()
        .bucket(bucket_name(account))
        .versioning_configuration(versions)
        .send()
        .await
        .unwrap();
}

impl Deployed {
    /// The findings of `steward doctor --json`, and its exit status.
    fn look(&self) -> (Vec<Value>, i32) {
        let output = self.doctor(&["--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
        assert_eq!(answer["schema_version"], 1);
        let findings = answer["findings"].as_array().unwrap().clone();
        (findings, status(&output))
    }

    fn doctor(&self, arguments: &[&str]) -> std::process::Output {
        // The Lambda that runs functions, as `lambda_runtime` reaches it.
        let plumbing = self.desk.sandbox.endpoints().ministack().unwrap();
        let lambda = [("AWS_ENDPOINT_URL_LAMBDA", plumbing)];
        self.desk
            .steward_where(&[&["doctor"], arguments].concat(), &lambda)
    }

    /// That exactly these findings are not good, each with this in its words.
    fn finds(&self, expected: &[(&str, &str, &str)]) {
        let (findings, exit) = self.look();
        let found: Vec<(&str, &str, &str)> = findings
            .iter()
            .map(|f| (field(f, "check"), field(f, "state"), field(f, "found")))
            .filter(|(_, state, _)| *state != "good")
            .collect();
        let is_expected = |(found, expected): (&(&str, &str, &str), &(&str, &str, &str))| {
            found.0 == expected.0 && found.1 == expected.1 && found.2.contains(expected.2)
        };
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(is_expected),
            "{found:#?}\nis not\n{expected:#?}"
        );
        let wrong = expected.iter().any(|(_, state, _)| *state != "warning");
        assert_eq!(exit, i32::from(wrong), "{found:?}");
    }

    async fn alarm(&self, name: &str) {
        let cloudwatch = self.desk.account.cloudwatch();
        let name = format!("steward-{name}");
        cloudwatch
            .put_metric_alarm()
            .alarm_name(&name)
            .alarm_description("What it is about.")
            .alarm_actions(&self.topic)
            .namespace("Steward")
            .metric_name("Failed")
            .statistic(Statistic::Sum)
            .period(300)
            .evaluation_periods(1)
            .threshold(0.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .send()
            .await
            .unwrap();
        self.alarm_is(&name, StateValue::Ok).await;
    }

    async fn alarm_is(&self, name: &str, state: StateValue) {
        let cloudwatch = self.desk.account.cloudwatch();
        let state = cloudwatch
            .set_alarm_state()
            .alarm_name(name)
            .state_value(state);
        state.state_reason("a test").send().await.unwrap();
    }

    /// Somebody listens to the topic.
    async fn subscribe(&self) {
        let account = &self.desk.account;
        let queue = account.sqs().create_queue().queue_name("people");
        queue.send().await.unwrap();
        let (region, id) = (account.region_name(), account.id());
        let subscription = account.sns().subscribe().topic_arn(&self.topic);
        let subscription = subscription.protocol("sqs");
        let subscription = subscription.endpoint(format!("arn:aws:sqs:{region}:{id}:people"));
        subscription.send().await.unwrap();
    }

    /// A run of a function so many hours ago, which failed (1) or did not (0).
    async fn ran(&self, function: &str, hours_ago: i64, failed: f64) {
        let at = now().as_second() - hours_ago * 3600;
        let of = Dimension::builder().name("Function").value(function);
        let run = MetricDatum::builder()
            .metric_name("RunFailed")
            .dimensions(of.build())
            .timestamp(DateTime::from_secs(at))
            .value(failed);
        let cloudwatch = self.desk.account.cloudwatch();
        let data = cloudwatch.put_metric_data().namespace("Steward");
        data.metric_data(run.build()).send().await.unwrap();
    }

    async fn configure(&self, environment: Environment) {
        let lambda = self.desk.account.lambda_runtime();
        let update = lambda.update_function_configuration();
        let update = update.function_name(FUNCTION).environment(environment);
        update.send().await.unwrap();
        can_run(&self.desk.account, FUNCTION).await;
    }
}

fn field<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_wrong_with_a_whole_deployment() {
    let deployed = deployed("whole").await;
    deployed.finds(&[]);
    let (findings, _) = deployed.look();
    for (check, found) in [
        ("dead_letters", "none in steward-dead-letters"),
        ("alarms", "33 alarms there"),
        ("topic", ":steward has 1 subscription"),
        ("recovery", "keeps versions, and its key can be used"),
        ("function", "steward-image-pruning, "),
        ("environment", "mode apply"),
        ("policy", "ssm:/steward/policy/image-pruning, sha256:"),
        ("kill_switches", "off"),
        ("plan", "6 observed"),
        ("permissions", ":role/pruner has "),
        ("last_run", "0 of 2 runs failed in 35 days"),
    ] {
        let of_check = about(&findings, check);
        assert!(of_check[0].1.contains(found), "{check}: {of_check:?}");
    }
    assert_eq!(
        about(&findings, "concurrency").len(),
        1 + FUNCTIONS.len(),
        "of all, and of each"
    );
    assert_eq!(about(&findings, "recovery").len(), 2, "here, and elsewhere");

    // An environment that was never seen is remembered first, in the ledger that the
    // function's variable names.
    for function in ["snapshot-rotation", "scheduled-scaling"] {
        let of_function: Vec<(&str, &str)> = findings
            .iter()
            .filter(|finding| finding["function"] == function)
            .map(|finding| (field(finding, "check"), field(finding, "found")))
            .collect();
        for (check, found) in [
            ("function", format!("steward-{function}, ")),
            ("policy", format!("ssm:/steward/policy/{function}, sha256:")),
            (
                "plan",
                "1 observed, 0 kept, 0 left for later, 1 planned".to_owned(),
            ),
            ("permissions", ":role/pruner has ".to_owned()),
            ("last_run", "0 of 2 runs failed in 35 days".to_owned()),
        ] {
            let is_found = |of: &(&str, &str)| of.0 == check && of.1.contains(&found);
            assert!(of_function.iter().any(is_found), "{of_function:#?}");
        }
    }

    let shown = text(&deployed.doctor(&[]));
    assert!(shown.contains("ok       dead letters: none"), "{shown}");
    assert!(shown.ends_with("nothing wrong\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_that_functions_have_no_ledger() {
    let deployed = deployed("forgetful").await;
    let dynamodb = deployed.desk.account.dynamodb();
    let gone = dynamodb.delete_table().table_name("team-ledger");
    gone.send().await.unwrap();
    let (findings, exit) = deployed.look();
    let gaps = about(&findings, "gap");
    // Of scheduled-scaling, and of alarm-remediation.
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    for (state, found) in &gaps {
        assert_eq!(*state, "bad", "{gaps:?}");
        assert!(
            found.contains("table team-ledger does not exist"),
            "{gaps:?}"
        );
    }
    assert_eq!(exit, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_lost_and_whom_nobody_tells() {
    let deployed = deployed("lost").await;
    let account = &deployed.desk.account;

    let letter = account.sqs().send_message().queue_url(&deployed.queue);
    letter.message_body("lost").send().await.unwrap();
    let lost = ("dead_letters", "bad", "1 letter in steward-dead-letters");
    deployed.finds(&[lost]);
    let queue = account.sqs().purge_queue().queue_url(&deployed.queue);
    queue.send().await.unwrap();
    deployed.finds(&[]);

    let errors = "steward-image-pruning-errors";
    deployed.alarm_is(errors, StateValue::Alarm).await;
    let in_alarm = format!("{errors} is in alarm since 2");
    deployed.finds(&[("alarms", "bad", &in_alarm)]);
    deployed
        .alarm_is(errors, StateValue::InsufficientData)
        .await;
    deployed.finds(&[("alarms", "warning", "has not had any data yet")]);
    deployed.alarm_is(errors, StateValue::Ok).await;

    let cloudwatch = account.cloudwatch();
    let gaps = "steward-image-pruning-gaps";
    let off = cloudwatch.disable_alarm_actions().alarm_names(gaps);
    off.send().await.unwrap();
    let nobody = format!("{gaps} tells nobody: its actions are turned off");
    deployed.finds(&[("alarms", "bad", &nobody)]);
    let gone = cloudwatch.delete_alarms().alarm_names(gaps);
    gone.alarm_names("steward-image-pruning-overdue")
        .alarm_names("steward-snapshot-rotation-objectives")
        .alarm_names("steward-snapshot-rotation-copies")
        .send()
        .await
        .unwrap();
    deployed.finds(&[
        (
            "alarms",
            "bad",
            "there is no alarm steward-snapshot-rotation-objectives",
        ),
        (
            "alarms",
            "warning",
            "nobody is told when copies do not finish",
        ),
        (
            "alarms",
            "bad",
            "there is no alarm steward-image-pruning-gaps",
        ),
        ("alarms", "warning", "nobody is told when runs stay away"),
    ]);
    for alarm in [
        "image-pruning-gaps",
        "image-pruning-overdue",
        "snapshot-rotation-objectives",
        "snapshot-rotation-copies",
    ] {
        deployed.alarm(alarm).await;
    }

    let sns = account.sns();
    let subscribed = sns.list_subscriptions_by_topic().topic_arn(&deployed.topic);
    for subscription in subscribed.send().await.unwrap().subscriptions() {
        let arn = subscription.subscription_arn().unwrap();
        sns.unsubscribe()
            .subscription_arn(arn)
            .send()
            .await
            .unwrap();
    }
    deployed.finds(&[("topic", "bad", ":steward tells nobody")]);
    // ministack takes an address of mail for confirmed at once.
    let hook = sns.subscribe().topic_arn(&deployed.topic).protocol("http");
    hook.endpoint("http://127.0.0.1:1/").send().await.unwrap();
    deployed.finds(&[("topic", "bad", "0 subscriptions and 1 not confirmed yet")]);
    deployed.subscribe().await;
    deployed.finds(&[("topic", "warning", "1 subscription and 1 not confirmed yet")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_keeps_a_deployed_function_from_working() {
    let deployed = deployed("kept_from_working").await;
    let account = &deployed.desk.account;
    let policy = "/steward/policy/image-pruning";

    set(account, policy, "version: 1\nretentions: {}\n").await;
    let untried = (
        "permissions",
        "warning",
        "nothing was seen to try permissions on",
    );
    let wrong = ("policy", "bad", "retentions: unknown key");
    deployed.finds(&[wrong, untried]);
    set(account, policy, "version: 1").await;
    deployed.finds(&[("policy", "bad", "selects no targets")]);
    let gone = account.ssm().delete_parameter().name(policy);
    gone.send().await.unwrap();
    let gone = ("policy", "bad", "ssm:GetParameter: ParameterNotFound");
    deployed.finds(&[gone, untried]);
    set(account, policy, POLICY).await;

    set(account, "/steward/kill-switch/all", "on").await;
    let stopped = ("kill_switches", "bad", "/steward/kill-switch/all is \"on\"");
    deployed.finds(&[stopped; FUNCTIONS.len()]);
    set(account, "/steward/kill-switch/all", "off").await;

    let lambda = account.lambda_runtime();
    let stop = lambda.put_function_concurrency().function_name(FUNCTION);
    let stop = stop.reserved_concurrent_executions(0);
    stop.send().await.unwrap();
    deployed.finds(&[("concurrency", "bad", "it cannot run")]);
    let go_on = lambda.delete_function_concurrency();
    go_on.function_name(FUNCTION).send().await.unwrap();

    // A role that cannot delete is as it should be while the mode is plan.
    let reads = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ecr:BatchDeleteImage", "Resource": "*"},
    ]);
    let reader = role(&deployed.desk, "reader", reads).await;
    let update = lambda.update_function_configuration();
    let update = update.function_name(FUNCTION).role(&reader);
    update.send().await.unwrap();
    can_run(account, FUNCTION).await;
    deployed.finds(&[
        ("permissions", "bad", "ecr:BatchDeleteImage on "),
        ("permissions", "warning", "of"),
    ]);
    deployed
        .configure(environment("image-pruning", &deployed.topic, "plan"))
        .await;
    deployed.finds(&[]);

    deployed
        .configure(environment("image-pruning", "no-topic", "plan"))
        .await;
    let wrong = ("environment", "bad", "STEWARD_NOTIFY_TOPIC is \"no-topic\"");
    deployed.finds(&[wrong]);
    let none = Environment::builder().variables("STEWARD_MODE", "plan");
    deployed.configure(none.build()).await;
    deployed.finds(&[
        ("environment", "warning", "it has no topic"),
        ("policy", "warning", "none is set"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_a_recovery_lacks_and_when_nothing_ran() {
    let deployed = deployed("recovery").await;
    let account = &deployed.desk.account;
    let there = account.region(RECOVERY);

    versions(&there, BucketVersioningStatus::Suspended).await;
    deployed.finds(&[("recovery", "bad", "eu-west-1 keeps no versions")]);
    versions(&there, BucketVersioningStatus::Enabled).await;

    let kms = aws_sdk_kms::Client::new(&there.sdk_config());
    let key = &deployed.keys[1];
    kms.disable_key().key_id(key).send().await.unwrap();
    deployed.finds(&[(
        "recovery",
        "bad",
        "is disabled: nothing in it can be opened",
    )]);
    let deletion = kms.schedule_key_deletion().key_id(key);
    deletion.send().await.unwrap();
    deployed.finds(&[("recovery", "bad", "is to be deleted")]);

    let s3 = there.s3();
    let gone = s3.delete_bucket().bucket(bucket_name(&there));
    gone.send().await.unwrap();
    deployed.finds(&[("recovery", "warning", "no bucket in any other Region")]);
    let s3 = account.s3();
    let gone = s3.delete_bucket().bucket(bucket_name(account));
    gone.send().await.unwrap();
    deployed.finds(&[
        (
            "recovery",
            "bad",
            "there is no bucket steward-restore-points-",
        ),
        ("recovery", "warning", "no bucket in any other Region"),
    ]);
    bucket(account).await;
    bucket(&there).await;

    // The newest first failed beside one that succeeded, then alone.
    deployed.ran("image-pruning", 2, 1.0).await;
    deployed.finds(&[("last_run", "warning", "1 of 3 runs failed")]);
    deployed.ran("image-pruning", 1, 1.0).await;
    deployed.finds(&[("last_run", "bad", "later ones failed: 2 of 4 runs")]);

    let control = account.control();
    for (service, operation, check, what) in [
        (
            "cloudwatch",
            "DescribeAlarms",
            "alarms",
            "whether alarms are there",
        ),
        ("cloudwatch", "GetMetricData", "last_run", "its last run"),
    ] {
        let denied = Fault::of(service, operation, "AccessDeniedException");
        control.fault(&denied).await.unwrap();
        let (findings, exit) = deployed.look();
        let (state, found) = about(&findings, check)[0];
        assert_eq!((state, exit), ("unknown", 1), "{found}");
        assert!(found.contains(what), "{found}");
        assert!(found.contains(&format!("{service}:{operation}")), "{found}");
        control.clear_faults().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_where_nothing_is_deployed() {
    let desk = desk("nothing_deployed");
    let output = desk.steward(&["doctor"]);
    assert_eq!(status(&output), 1);
    let shown = text(&output);
    assert!(
        shown.contains("wrong    deployment: no function of Steward is deployed in us-east-1"),
        "{shown}"
    );
    // What is for one function needs one.
    for argument in ["--role", "--policy", "--topic"] {
        let output = desk.steward(&["doctor", argument, "x"]);
        assert_eq!(status(&output), 2, "{}", text(&output));
    }
}
