//! The ledger of `shared/` against a table that keeps what is written: two
//! writers race, leases expire, answers are lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use steward::ledger::{Key, Ledger, LedgerError, LedgerTable};
use steward_sandbox::faults::{At, Fault, FaultClient};
use steward_sandbox::{Account, Sandbox};

const TABLE: &str = "steward-ledger";

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}

fn key() -> Key {
    Key::new("scheduled-scaling", "environment#test")
}

async fn account() -> Result<Account> {
    let account = Sandbox::shared()?.account();
    account.ledger().await?;
    Ok(account)
}

fn ledger(account: &Account) -> Ledger {
    let table = LedgerTable::Required(TABLE.to_owned());
    Ledger::new(&account.sdk_config(), table)
}

/// A ledger whose calls fail at these.
fn failing(account: &Account, faults: &FaultClient) -> Ledger {
    let table = LedgerTable::Required(TABLE.to_owned());
    Ledger::new(&account.sdk_config_with(faults.clone()), table)
}

#[tokio::test]
async fn of_writers_that_race_one_wins_and_the_others_are_told() -> Result<()> {
    let account = account().await?;
    let ledger = ledger(&account);
    for seen in [None, Some(())] {
        let seen = match seen {
            None => None,
            Some(()) => ledger
                .entry(&key(), at(0))
                .await?
                .map(|entry| entry.version),
        };
        let writers = (0..8).map(|n| {
            let ledger = ledger.clone();
            async move {
                let body = json!({ "writer": n });
                let wrote = ledger.put(&key(), &body, None, seen, at(0)).await;
                wrote.map(|version| (body, version))
            }
        });
        let ended = futures::future::join_all(writers).await;
        let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 7));
        for error in lost {
            assert_eq!(error, Err(LedgerError::Changed { key: key() }));
        }
        let there = ledger.entry(&key(), at(0)).await?.unwrap();
        assert_eq!(
            (there.body, there.version),
            won.into_iter().next().unwrap()?
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_has_expired_is_gone_for_readers_and_for_writers() -> Result<()> {
    let account = account().await?;
    let ledger = ledger(&account);
    let old = ledger
        .put(&key(), &"old", Some(at(60)), None, at(0))
        .await?;
    let early = ledger.put(&key(), &"new", None, None, at(59)).await;
    assert_eq!(early, Err(LedgerError::Changed { key: key() }));
    assert_eq!(ledger.entry(&key(), at(59)).await?.unwrap().body, "old");

    assert_eq!(ledger.entry(&key(), at(60)).await?, None);
    assert_eq!(ledger.entries("scheduled-scaling", "", at(60)).await?, []);
    ledger.put(&key(), &"new", None, None, at(60)).await?;
    // Whoever has seen the old one has not seen this one.
    let late = ledger.put(&key(), &"late", None, Some(old), at(61)).await;
    assert_eq!(late, Err(LedgerError::Changed { key: key() }));
    assert_eq!(ledger.entry(&key(), at(61)).await?.unwrap().body, "new");
    Ok(())
}

#[tokio::test]
async fn a_lease_is_had_by_one_until_it_expires_or_is_given_back() -> Result<()> {
    let account = account().await?;
    let ledger = ledger(&account);
    let key = Key::new("scheduled-scaling", "lease#test");
    let held = |by: &str, until| {
        let by = by.to_owned();
        Err(LedgerError::Held { by, until })
    };
    let first = ledger.take_lease(&key, "one", at(0), at(60)).await?;
    let two = ledger.take_lease(&key, "two", at(59), at(120)).await;
    assert_eq!(two, held("one", at(60)));
    // Its holder renews it.
    let renewed = ledger.take_lease(&key, "one", at(30), at(90)).await?;
    let two = ledger.take_lease(&key, "two", at(89), at(120)).await;
    assert_eq!(two, held("one", at(90)));
    // And was killed: another takes it, and what is given back late stays his.
    ledger.take_lease(&key, "two", at(90), at(150)).await?;
    ledger.release(&first).await?;
    ledger.release(&renewed).await?;
    let one = ledger.take_lease(&key, "one", at(91), at(200)).await;
    assert_eq!(one, held("two", at(150)));
    let two = ledger.take_lease(&key, "two", at(91), at(200)).await?;
    ledger.release(&two).await?;
    ledger.take_lease(&key, "one", at(92), at(200)).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_lost_race() -> Result<()> {
    let account = account().await?;
    let faults = FaultClient::new(account.http_client())
        .with(At::nth("dynamodb:PutItem", 1), Fault::LostAnswer)
        .with(At::nth("dynamodb:PutItem", 3), Fault::LostAnswer)
        .with(At::nth("dynamodb:PutItem", 5), Fault::LostAnswer)
        .with(At::nth("dynamodb:DeleteItem", 1), Fault::LostAnswer)
        .with(At::nth("dynamodb:DeleteItem", 3), Fault::LostAnswer);
    let ledger = failing(&account, &faults);
    let made = ledger.put(&key(), &1, None, None, at(0)).await?;
    let changed = ledger.put(&key(), &2, None, Some(made), at(0)).await?;
    assert_eq!(changed, made + 1);
    assert_eq!(ledger.entry(&key(), at(0)).await?.unwrap().body, 2);
    let lease = Key::new("scheduled-scaling", "lease#test");
    let lease = ledger.take_lease(&lease, "one", at(0), at(60)).await?;
    ledger.remove(&key(), changed).await?;
    assert_eq!(ledger.entry(&key(), at(0)).await?, None);
    ledger.release(&lease).await?;
    assert_eq!(ledger.entries("scheduled-scaling", "", at(0)).await?, []);

    assert_eq!(faults.unspent(), Vec::<String>::new());
    assert_eq!(faults.count("dynamodb:PutItem"), 6);
    assert_eq!(faults.count("dynamodb:DeleteItem"), 4);
    Ok(())
}

#[tokio::test]
async fn no_answer_is_taken_for_nothing_there() -> Result<()> {
    let account = account().await?;
    ledger(&account).put(&key(), &1, None, None, at(0)).await?;
    for (operation, fault) in [
        ("dynamodb:GetItem", Fault::EmptyAnswer),
        ("dynamodb:GetItem", Fault::TruncatedAnswer),
        ("dynamodb:Query", Fault::EmptyAnswer),
        ("dynamodb:Query", Fault::TruncatedAnswer),
        ("dynamodb:Query", Fault::Deny),
    ] {
        let faults =
            FaultClient::new(account.http_client()).with(At::every(operation), fault.clone());
        let ledger = failing(&account, &faults);
        let error = match operation {
            "dynamodb:Query" => ledger.entries("scheduled-scaling", "", at(0)).await.err(),
            _ => ledger.entry(&key(), at(0)).await.err(),
        };
        assert!(
            matches!(error, Some(LedgerError::Failed { .. })),
            "{operation} {fault}: {error:?}"
        );
        assert_eq!(faults.unspent(), Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn a_long_partition_is_read_to_its_end_in_order() -> Result<()> {
    let account = account().await?;
    let ledger = ledger(&account);
    // A page has at most 1 MB (Amazon DynamoDB API Reference, `Query`).
    let long = "x".repeat(300_000);
    for n in [3, 1, 4, 2, 5] {
        let key = Key::new("scheduled-scaling", format!("size#{n}"));
        ledger.put(&key, &long, None, None, at(0)).await?;
    }
    ledger.put(&key(), &1, None, None, at(0)).await?;
    let faults = FaultClient::new(account.http_client());
    let sizes = failing(&account, &faults)
        .entries("scheduled-scaling", "size#", at(0))
        .await?;
    let sorts: Vec<&str> = sizes.iter().map(|entry| entry.key.sort.as_str()).collect();
    assert_eq!(sorts, ["size#1", "size#2", "size#3", "size#4", "size#5"]);
    assert!(faults.count("dynamodb:Query") > 1);
    Ok(())
}

#[tokio::test]
async fn without_a_table_there_is_no_ledger() -> Result<()> {
    let account = Sandbox::shared()?.account();
    let error = ledger(&account).entry(&key(), at(0)).await;
    let table = TABLE.to_owned();
    assert_eq!(error, Err(LedgerError::NoTable { table }));
    Ok(())
}
