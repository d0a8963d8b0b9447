//! Documents in a bucket of the sandbox.

use steward::restore_point::{Document, Recipe, RecipeKind, SCHEMA_VERSION, recipe_key};
use steward_sandbox::faults::{At, Fault, FaultClient};
use steward_sandbox::{Account, Sandbox};

use crate::record::{Bucket, Put};

fn account() -> Account {
    Sandbox::shared().expect("the sandbox starts").account()
}

fn recipe(region: &str, incomplete: &[&str]) -> Document {
    Document::Recipe(Box::new(Recipe {
        schema_version: SCHEMA_VERSION,
        kind: RecipeKind::Recipe,
        recorded_at: "2026-11-22T12:00:00Z".parse().unwrap(),
        environment: "production".to_owned(),
        account: "123456789012".to_owned(),
        region: region.to_owned(),
        databases: vec![],
        applications: vec![],
        images: vec![],
        incomplete: incomplete.iter().map(ToString::to_string).collect(),
    }))
}

async fn bucket(account: &Account) -> String {
    let name = format!("documents-{}", account.id());
    let create = account.s3().create_bucket().bucket(&name);
    create.send().await.unwrap();
    name
}

#[tokio::test]
async fn documents_are_written_listed_read_and_deleted() {
    let account = account();
    let name = bucket(&account).await;
    let documents = Bucket::new(&account.sdk_config(), &name, "points/");
    let note = account.s3().put_object().bucket(&name).key("points/a.txt");
    note.body(b"{}".to_vec().into()).send().await.unwrap();
    let first = recipe("eu-west-1", &[]);
    let key = first.key();
    assert_eq!(documents.head(&key).await, Ok(None));
    assert_eq!(documents.read(&key).await, Ok(None));

    documents.put(&first, Put::UnlessThere).await.unwrap();

    let (listed, why) = documents.list().await;
    assert_eq!(why, None);
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&key]);
    let head = documents.head(&key).await.unwrap().unwrap();
    assert_eq!(head.content_digest, Some(first.content_digest()));
    assert_eq!(head.last_modified, listed.get(&key).copied());
    assert_eq!(documents.read(&key).await, Ok(Some(first.clone())));
    let stored = account.s3().get_object().bucket(&name);
    let stored = stored.key(format!("points/{key}")).send().await.unwrap();
    assert_eq!(stored.content_type(), Some("application/json"));

    let second = recipe("eu-central-1", &[]);
    documents.put(&second, Put::UnlessThere).await.unwrap();
    assert_eq!(documents.read(&key).await, Ok(Some(first)), "it was there");
    documents.put(&second, Put::Replacing).await.unwrap();
    assert_eq!(documents.read(&key).await, Ok(Some(second)));

    let lacking = recipe("eu-west-1", &["a read failed"]);
    documents.put(&lacking, Put::Replacing).await.unwrap();
    let beside = recipe_key("production", false);
    let (listed, _) = documents.list().await;
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&beside, &key]);

    for key in [&key, &key, &beside] {
        documents.delete(key).await.unwrap();
    }
    let (listed, why) = documents.list().await;
    assert_eq!((listed.len(), why), (0, None));
}

#[tokio::test]
async fn what_is_no_document_is_told_without_its_content() {
    let account = account();
    let name = bucket(&account).await;
    let key = recipe_key("production", true);
    let put = account.s3().put_object().bucket(&name).key(&key);
    let text = br#"{"schema_version":1,"kind":"recipe","environment":"hunter2"}"#;
    put.body(text.to_vec().into()).send().await.unwrap();
    let documents = Bucket::new(&account.sdk_config(), &name, "");
    let error = documents.read(&key).await.unwrap_err();
    let place = format!("s3:GetObject of s3://{name}/recipes/production.json: ");
    assert!(error.starts_with(&place), "{error}");
    assert!(error.contains("is no document"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let head = documents.head(&key).await.unwrap().unwrap();
    assert_eq!(head.content_digest, None);
}

#[tokio::test]
async fn a_bucket_that_is_missing_or_denied_is_told() {
    let account = account();
    let document = recipe("eu-west-1", &[]);
    let key = document.key();
    let documents = Bucket::new(&account.sdk_config(), "there-is-none", "");
    let (listed, why) = documents.list().await;
    assert_eq!(listed.len(), 0);
    assert!(why.unwrap().contains("NoSuchBucket"));
    let put = documents.put(&document, Put::Replacing).await.unwrap_err();
    assert!(
        put.contains("s3:PutObject of s3://there-is-none/recipes/production.json: NoSuchBucket")
    );
    let read = documents.read(&key).await.unwrap_err();
    assert!(read.contains("NoSuchBucket"), "{read}");

    let name = bucket(&account).await;
    let operations = [
        "ListObjectsV2",
        "HeadObject",
        "GetObject",
        "PutObject",
        "DeleteObject",
    ];
    let client = FaultClient::new(account.http_client());
    for operation in operations {
        client.add(At::every(&format!("s3:{operation}")), Fault::Deny);
    }
    let documents = Bucket::new(&account.sdk_config_with(client.clone()), &name, "");
    let told = [
        documents.list().await.1.unwrap(),
        documents.head(&key).await.unwrap_err(),
        documents.read(&key).await.unwrap_err(),
        documents.put(&document, Put::Replacing).await.unwrap_err(),
        documents.delete(&key).await.unwrap_err(),
    ];
    for (told, operation) in told.iter().zip(operations) {
        assert!(
            told.starts_with(&format!("s3:{operation} of s3://{name}/")),
            "{told}"
        );
        assert!(
            told.to_lowercase().replace(' ', "").contains("denied"),
            "{told}"
        );
    }
    assert_eq!(client.unspent(), Vec::<String>::new());
}
