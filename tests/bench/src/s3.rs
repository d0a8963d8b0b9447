//! The buckets of restore points of a scenario. Pages are those of the Amazon S3
//! API Reference.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::aws::Answer;
use crate::rotation::{Rotation, THERE};
use crate::scenario::REGION;

/// `max-keys`, the most and the default.
const PAGE: usize = 1000;

/// Both buckets, with the pages of their listing.
pub(crate) struct Buckets {
    pages: BTreeMap<String, Vec<Bytes>>,
}

/// The operation of a request.
pub(crate) fn operation_of(method: &Method, path: &str) -> String {
    let key = path.trim_start_matches('/').split_once('/');
    let has_key = key.is_some_and(|(_, key)| !key.is_empty());
    match (method, has_key) {
        (&Method::GET, false) => "ListObjectsV2".to_owned(),
        (&Method::GET, true) => "GetObject".to_owned(),
        (&Method::HEAD, true) => "HeadObject".to_owned(),
        (&Method::PUT, true) => "PutObject".to_owned(),
        (&Method::DELETE, true) => "DeleteObject".to_owned(),
        _ => format!("{method} {path}"),
    }
}

impl Buckets {
    pub(crate) fn of(rotation: &Rotation) -> Self {
        let mut keys: Vec<String> = (0..rotation.environments())
            .map(|n| format!("recipes/{}.json", Rotation::environment(n)))
            .collect();
        keys.extend(rotation.snapshots().map(|which| rotation.point(which)));
        keys.sort();
        let pages = [REGION, THERE].map(|region| {
            let bucket = Rotation::bucket(region);
            let pages = listing(&bucket, &keys);
            (bucket, pages)
        });
        Self {
            pages: pages.into_iter().collect(),
        }
    }

    pub(crate) fn answer(&self, operation: &str, path: &str, query: &str) -> Answer {
        let bucket = path.split('/').nth(1).unwrap_or_default();
        let Some(pages) = self.pages.get(bucket) else {
            return Answer::status(StatusCode::NOT_FOUND);
        };
        match operation {
            "ListObjectsV2" => {
                let mut parts = query.split('&');
                let token = parts.find_map(|part| part.strip_prefix("continuation-token="));
                let page = token.unwrap_or("0").parse().ok();
                match page.and_then(|page: usize| pages.get(page)) {
                    Some(page) => Answer::xml(page.clone()),
                    None => Answer::status(StatusCode::BAD_REQUEST),
                }
            }
            // What the recipe told when it was written.
            "HeadObject" => Answer {
                headers: vec![
                    ("x-amz-meta-content-digest", "sha256:another"),
                    ("last-modified", "Sat, 21 Nov 2026 03:00:00 GMT"),
                ],
                ..Answer::status(StatusCode::OK)
            },
            "PutObject" => Answer {
                headers: vec![("etag", "\"0123456789abcdef0123456789abcdef\"")],
                ..Answer::status(StatusCode::OK)
            },
            _ => Answer::status(StatusCode::NOT_IMPLEMENTED),
        }
    }
}

fn listing(bucket: &str, keys: &[String]) -> Vec<Bytes> {
    let last = keys.len().div_ceil(PAGE).max(1) - 1;
    (0..=last)
        .map(|n| {
            let mut contents = String::new();
            let mut count = 0;
            for key in keys.iter().skip(n * PAGE).take(PAGE) {
                count += 1;
                let _ = write!(
                    contents,
                    "<Contents><Key>{key}</Key><LastModified>2026-11-21T03:00:00.000Z</LastModified>\
                     <ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>20480</Size>\
                     <StorageClass>STANDARD</StorageClass></Contents>"
                );
            }
            let token = match n < last {
                true => format!("<NextContinuationToken>{}</NextContinuationToken>", n + 1),
                false => String::new(),
            };
            let more = n < last;
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
                 xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name><Prefix/>\
                 <KeyCount>{count}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{more}\
                 </IsTruncated>{contents}{token}</ListBucketResult>"
            )
            .into()
        })
        .collect()
}
