//! The Lambda functions that are made from images.

use std::sync::Arc;

use aws_sdk_lambda::types::{FunctionConfiguration, FunctionVersion, PackageType};
use futures::{StreamExt, stream};
use steward::aws::{self, ErrorKind};

use super::{AT_ONCE, ByTag, Place, Reading, Used, known, remember};
use crate::reference::Digest;
use crate::world::{User, UserKind};

/// The image of one version of a Lambda function.
#[derive(Debug)]
pub(super) struct FunctionImage {
    written: String,
    digest: Option<Digest>,
}

impl Place {
    /// Every published version of every Lambda function made from an image.
    pub(super) async fn functions(&self) -> Reading {
        let mut all = Reading::default();
        let versions = self
            .lambda
            .list_functions()
            .function_version(FunctionVersion::All);
        let pages = versions.into_paginator().page_size(50).send();
        let (mut functions, incomplete) =
            aws::read_pages(pages, |page| (page.functions, page.next_marker)).await;
        if let Some(why) = incomplete {
            all.gap(
                format!("lambda:ListFunctions: {why}"),
                "lambda:ListFunctions",
            );
        }
        functions.retain(|function| function.package_type() != Some(&PackageType::Zip));
        let readings: Vec<Reading> = stream::iter(functions)
            .map(|function| self.function(function))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.add(Reading::joined(readings));
        all
    }

    async fn function(&self, function: FunctionConfiguration) -> Reading {
        let mut all = Reading::default();
        let name = function.function_name().unwrap_or_default();
        let version = function.version().unwrap_or("$LATEST");
        let by = User {
            kind: UserKind::LambdaFunction,
            name: format!("{name}:{version}"),
        };
        // A published version never changes its code; `$LATEST` may be in the
        // middle of a change.
        let key = function
            .revision_id()
            .filter(|_| version != "$LATEST")
            .map(|id| format!("{name}:{version}:{id}"));
        let mut image = key.as_ref().and_then(|key| known(&self.functions, key));
        if image.is_none() {
            let request = self
                .lambda
                .get_function()
                .function_name(name)
                .qualifier(version);
            let answer = self.lambda_pace.call(request.send()).await;
            let code = match answer {
                Ok(answer) => answer.code,
                Err(error) if aws::kind(&error) == ErrorKind::NotFound => return all,
                Err(error) => {
                    let read = format!(
                        "lambda:GetFunction of {name}:{version}: {}",
                        aws::explain(&error)
                    );
                    all.gap(read, "lambda:GetFunction");
                    return all;
                }
            };
            let uri = code.as_ref().and_then(|code| code.image_uri());
            let resolved = code.as_ref().and_then(|code| code.resolved_image_uri());
            let Some(written) = uri.or(resolved) else {
                // Not made from an image after all, if its package type says so
                // or is not there to say.
                if function.package_type() == Some(&PackageType::Image) {
                    let read = format!("lambda:GetFunction of {name}:{version}: no image URI");
                    all.gap(read, "lambda:GetFunction");
                }
                return all;
            };
            let digest = resolved
                .and_then(|uri| uri.rsplit_once('@'))
                .map(|(_, d)| Digest::new(d));
            let found = Arc::new(FunctionImage {
                written: written.to_owned(),
                digest,
            });
            if let Some(key) = key.filter(|_| found.digest.is_some()) {
                remember(&self.functions, key, Arc::clone(&found));
            }
            image = Some(found);
        }
        if let Some(image) = image {
            all.images.push(Used {
                image: image.written.clone(),
                digest: image.digest.clone(),
                by_tag: ByTag::HasLookedUp,
                by,
            });
        }
        all
    }
}
